"""Finding a server: arguments, environment, runtime folder."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from easymlnb.client import discovery
from easymlnb.contract.errors import ServerUnreachable
from support.http_server import Answering, serving

OWN = ("JPY_PARENT_PID", "EASYMLNB_SERVER_PID")
"""Variables that name the server of a kernel, and of a terminal."""


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("EASYMLNB_URL", "EASYMLNB_TOKEN", "JUPYTERHUB_API_TOKEN", *OWN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path


class Health(Answering):
    def do_GET(self) -> None:
        self.answer(200 if self.path == "/base/easymlnb/health/live" else 404, b"")


@pytest.fixture
def server() -> Iterator[str]:
    with serving(Health) as address:
        yield address


def advert(folder: Path, url: str, pid: int, token: str, age: int = 0, name: str = "") -> None:
    file = folder / f"jpserver-{name or pid}.json"
    file.write_text(json.dumps({"url": url, "pid": pid, "token": token}))
    changed = 1_700_000_000 - age
    os.utime(file, (changed, changed))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://h:8888", "http://h:8888/easymlnb/"),
        ("http://h:8888/user/a b/", "http://h:8888/user/a b/easymlnb/"),
        ("http://h/lab/tree/x.ipynb?token=t", "http://h/easymlnb/"),
        ("https://h/user/alice/lab", "https://h/user/alice/easymlnb/"),
        ("http://h/easymlnb", "http://h/easymlnb/"),
        ("http://h/services/easymlnb/services/roll/call", "http://h/services/easymlnb/"),
        (" http://[::1]:1/ ", "http://[::1]:1/easymlnb/"),
    ],
)
def test_any_address_of_a_server_will_do(given: str, expected: str) -> None:
    assert discovery.api_base(given) == expected


@pytest.mark.parametrize("url", ["", "localhost:8888", "ftp://h/", "file:///etc", "http://"])
def test_what_is_no_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ServerUnreachable, match="http://localhost:8888/"):
        discovery.api_base(url)


def test_arguments_count_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASYMLNB_URL", "http://env/")
    monkeypatch.setenv("EASYMLNB_TOKEN", "env")
    assert discovery.find() == discovery.Server("http://env/easymlnb/", "env")
    assert discovery.find("http://env/easymlnb/").token == "env"
    assert discovery.find("http://other/", "t") == discovery.Server("http://other/easymlnb/", "t")
    assert discovery.find("http://other/lab?token=q").token == "q"


def test_a_token_is_not_shown_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASYMLNB_URL", "http://env/")
    monkeypatch.setenv("EASYMLNB_TOKEN", "env")
    assert discovery.find("http://other/").token == ""


def test_a_token_is_not_in_the_repr() -> None:
    assert "secret" not in repr(discovery.Server("http://h/easymlnb/", "secret"))


def test_a_named_server_takes_its_token_from_the_runtime_folder(runtime: Path) -> None:
    advert(runtime, "http://localhost:1/", os.getpid(), "found")
    assert discovery.find("http://localhost:1/lab").token == "found"


def test_the_newest_server_that_answers_is_found(runtime: Path, server: str) -> None:
    advert(runtime, f"{server}/base/", os.getpid(), "right", age=10)
    advert(runtime, f"{server}/without/", os.getpid(), "wrong", age=5, name="newer")
    advert(runtime, f"{server}/base/", 2**22 + 5, "dead", age=0)
    (runtime / "jpserver-7.json").write_text("{half")
    advert(runtime, "http+unix://%2Ftmp%2Fs/", os.getpid(), "socket", age=1, name="sock")
    found = discovery.find()
    assert found == discovery.Server(f"{server}/base/easymlnb/", "right")
    assert found.local


@pytest.mark.parametrize("told", OWN)
def test_the_server_of_this_process_comes_first(
    runtime: Path, server: str, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    advert(runtime, f"{server}/base/", os.getpid(), "", age=100)
    advert(runtime, f"{server}/base/", os.getppid(), "newer", age=0)
    monkeypatch.setenv(told, str(os.getpid()))
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "hub")
    assert discovery.find().token == "hub"


def test_without_a_server_the_error_says_how_to_start_one() -> None:
    with pytest.raises(ServerUnreachable, match="easymlnb serve"):
        discovery.find()
