"""The extension in a user's server: everything works through the Hub's proxy, below its path."""

from pathlib import Path

import httpx
import nbformat
import pytest

from support.hub.hub import Hub, User
from support.hub.kernels import Console
from support.notebooks import make_notebook

pytestmark = pytest.mark.timeout(300)

SERVICE = """
import easymlnb as ml

@ml.service
def double(x: int = 2) -> int:
    "Double it."
    return 2 * x
"""
HALF = """
import easymlnb as ml

@ml.service
def half(x: int = 2) -> int:
    return x // 2
"""
SEES = """
import os
import easymlnb as ml

@ml.service
def sees() -> list[str]:
    return sorted(os.environ)
"""


@pytest.fixture(scope="module")
def alice(hub: Hub) -> User:
    return hub.serve("alice")


def test_published_service_answers_through_the_proxy(alice: User, tmp_path: Path) -> None:
    found = alice.publish(make_notebook(SERVICE), tmp_path / "double.ipynb")
    assert found["state"] == "ready", found.get("error")
    assert alice.call("double", x=21).json() == 42
    page = alice.http.get("services/double/page")
    assert page.status_code == 200
    assert "/user/alice/easymlnb/" in page.text
    assert '"/user/alice/easymlnb"' in alice.http.get("openapi.json").text
    assert "double" in alice.http.get("").text


def test_known_token_has_the_short_way(hub: Hub, alice: User, tmp_path: Path) -> None:
    assert alice.publish(make_notebook(SERVICE), tmp_path / "double.ipynb")["state"] == "ready"
    url = f"{alice.url}easymlnb/services/double/call"
    # As a script, without the cookies of pages; Tornado says its name where handlers answer.
    for _ in range(2):
        answer = httpx.post(url, json={"x": 4}, headers=alice.headers, timeout=60)
        assert answer.json() == 8
    assert "Server" not in answer.headers
    hub.api.post("users/bob")
    told = hub.api.post("users/bob/tokens", json={"expires_in": 600}).json()
    headers = {"Authorization": f"token {told['token']}"}
    for _ in range(3):
        answer = httpx.post(url, json={"x": 4}, headers=headers, timeout=60)
        assert answer.status_code in (401, 403)
        assert "Server" in answer.headers


def test_worker_gets_no_token_of_the_hub(alice: User, tmp_path: Path) -> None:
    found = alice.publish(make_notebook(SEES), tmp_path / "sees.ipynb")
    assert found["state"] == "ready", found.get("error")
    seen = alice.call("sees").json()
    assert "PATH" in seen
    assert not [name for name in seen if name.startswith("JUPYTERHUB") or "SECRET_OF" in name]


def test_cell_is_live_and_publishes_itself(hub: Hub, alice: User) -> None:
    nbformat.write(make_notebook(HALF), hub.folder / "homes/alice/half.ipynb")
    console = Console(alice, "python3")
    try:
        assert console.run(HALF).status == "ok"
        assert alice.call("half", x=8).json() == 4
        ran = console.run("half.publish(notebook='half.ipynb')")
        assert ran.status == "ok", ran.text
        assert alice.http.get("services/half").json()["version"] == 1
    finally:
        console.close()


def test_nobody_else_gets_in(hub: Hub, alice: User) -> None:
    url = f"{alice.url}easymlnb/services/double/call"
    answer = httpx.post(url, json={"x": 1}, timeout=60)
    assert answer.status_code in (401, 403)
    hub.api.post("users/bob")
    token = hub.api.post("users/bob/tokens", json={"expires_in": 600}).json()["token"]
    headers = {"Authorization": f"token {token}"}
    answer = httpx.get(f"{alice.url}easymlnb/services", headers=headers, timeout=60)
    assert answer.status_code in (401, 403)
