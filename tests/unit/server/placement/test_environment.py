"""What of the server's environment workers inherit: names on a list, and no passwords."""

import pytest

from easymlnb_server.placement.environment import inherited_environment


def test_workers_inherit_little() -> None:
    given = {
        "PATH": "/bin", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "0", "HF_HOME": "/cache",
        "MY_SECRET": "x", "JUPYTER_TOKEN": "x", "EASYMLNB_SECRET": "x", "HF_AUTH": "x",
        "CUDA_PASS": "x", "OMP_CREDENTIALS": "x", "LC_PW": "x", "CONDA_LOGIN": "x", "XDG_DB": "x",
        "WANTED": "y",
    }  # fmt: skip
    assert inherited_environment(given, ["WANTED", "ABSENT"]) == {
        "PATH": "/bin", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "0", "HF_HOME": "/cache",
        "WANTED": "y",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "inherited"),
    [
        ("HTTPS_PROXY", "http://user:pass@proxy:3128", "http://proxy:3128"),
        ("https_proxy", "http://user:p@ss/w:rd@proxy:3128/", "http://proxy:3128/"),
        ("HTTP_PROXY", "user:pass@proxy:3128", "proxy:3128"),
        ("http_proxy", "socks5h://pass@[::1]:1080", "socks5h://[::1]:1080"),
        ("HTTP_PROXY", "http://proxy:3128", "http://proxy:3128"),
        ("NO_PROXY", "localhost,.example.org", "localhost,.example.org"),
        ("HF_ENDPOINT", "https://me:pass@hub.example.org/a@b", "https://hub.example.org/a@b"),
        ("PYTHONPATH", "/home/me@work/lib:/x", "/home/me@work/lib:/x"),
    ],
)
def test_addresses_are_inherited_without_user_and_password(
    name: str, value: str, inherited: str
) -> None:
    assert inherited_environment({name: value}, []) == {name: inherited}


def test_variable_that_the_administrator_names_is_inherited_as_it_is() -> None:
    given = {"HTTPS_PROXY": "http://user:pass@proxy:3128", "HF_TOKEN": "x"}
    assert inherited_environment(given, ["HTTPS_PROXY", "HF_TOKEN"]) == given
