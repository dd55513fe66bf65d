"""Two processes that many users share: names with owners, rights, and calls between owners."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import nbformat
import psutil
import pytest
from conftest import make_notebook
from databases import running
from pairs import Pair, pair
from sharing import BOB, OPTIONS, SharedServer, call

from easymlnb.bundles import make
from easymlnb.contract.names import path

pytestmark = pytest.mark.timeout(300)  # two servers and their kernels start

CELL = """
import easymlnb as ml

@ml.service
def {name}(x: int = 1) -> str:
    return "{name}" + str(x)

@ml.service
def {name}_asks(other: str) -> str:
    return ml.use(other)(x=7)
"""
ALICES, BOBS = "alice/here", f"{BOB}/there"
SERVED = {ALICES: "here", BOBS: "there"}

WAITS = """
import os, time
from pathlib import Path

if "EASYMLNB_WORKER" in os.environ:
    Path({file!r}).write_text(str(os.getpid()))
    time.sleep(600)
"""

Two = Pair[SharedServer]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("shared")
    with running() as postgres, pair(SharedServer, folder, postgres, *OPTIONS) as made:
        made.one.bring("alice", CELL.format(name="here"))
        made.two.bring(BOB, CELL.format(name="there"))
        for server in made.both:
            for name in SERVED:
                who = name.rpartition("/")[0]
                made.wait_for(
                    lambda s=server, w=who, n=name: call(s, w, n).status_code == 200,  # type: ignore[misc]
                    f"no {name}",
                )
        yield made


def test_each_owner_is_known_by_either_process(both: Two) -> None:
    both.wait_for(lambda: both.of(ALICES)[0] is not both.of(BOBS)[0], "they do not share")
    for server in both.both:
        for name, said in SERVED.items():
            owner = name.rpartition("/")[0]
            other = BOB if owner == "alice" else "alice"
            assert call(server, owner, name, x=3).json() == f"{said}3"
            assert call(server, "root", name, x=4).json() == f"{said}4"
            refused = call(server, other, name)
            nothing = call(server, other, f"{owner}/none_such")
            assert refused.status_code == nothing.status_code == 404
            url = f"{server.url}easymlnb/services/{path(name)}/call"
            assert httpx.post(url, timeout=60).status_code == 401
            listed = server.people[other].get("services").json()["services"]
            assert name not in [one["full_name"] for one in listed]


def test_who_may_call_is_said_at_either_process(both: Two) -> None:
    for name, other in ((ALICES, BOB), (BOBS, "alice")):
        owner, said = name.rpartition("/")[0], SERVED[name]
        for server in both.both:
            access = {"users": [other], "groups": [], "everyone": False, "public": False}
            route = f"services/{path(name)}/access"
            assert server.people[owner].put(route, json=access).status_code == 200
            # Who serves it decides, so it holds at once for calls by either.
            assert [call(one, other, name).json() for one in both.both] == [f"{said}1"] * 2
            for one in both.both:
                both.wait_for(
                    lambda s=one, o=other, n=name: n in _names(s, o),  # type: ignore[misc]
                    "the catalogue does not show it",
                )
            access["users"] = []
            assert server.people[owner].put(route, json=access).status_code == 200
            assert [call(one, other, name).status_code for one in both.both] == [404] * 2


def _names(server: SharedServer, who: str) -> list[str]:
    listed = server.people[who].get("services").json()["services"]
    return [one["full_name"] for one in listed]


def test_a_service_asks_in_its_owners_name_across_processes(both: Two) -> None:
    asks = "alice/here_asks"
    for server in both.both:
        refused = call(server, "alice", asks, other=BOBS)
        assert refused.status_code >= 400, "bob has not shared it"
    access = {"users": ["alice"], "groups": [], "everyone": False, "public": False}
    assert both.one.people[BOB].put(f"services/{path(BOBS)}/access", json=access).status_code == 200
    for server in both.both:
        assert call(server, "alice", asks, other=BOBS).json() == "there7"


@pytest.mark.parametrize("asked", ["one", "two"])
def test_a_start_is_called_off_at_either_process(both: Two, tmp_path: Path, asked: str) -> None:
    file = tmp_path / "worker"
    cells = ["import easymlnb as ml", CELL.format(name="never"), WAITS.format(file=str(file))]
    nbformat.write(make_notebook(*cells), tmp_path / "never.ipynb")
    people = getattr(both, asked).people
    sent = both.one.people["alice"].post(
        "services",
        content=make(tmp_path / "never.ipynb").data,
        headers={"Content-Type": "application/zip"},
    )
    assert sent.status_code == 202, sent.text
    at = f"bundles/{sent.json()['bundle']}"
    both.wait_for(lambda: file.exists() and file.read_text(), "it is not executed")
    worker = int(file.read_text())
    for other in (BOB, "carol"):
        assert people[other].delete(at).status_code == 404
    assert psutil.pid_exists(worker)
    assert people["alice"].delete(at).status_code == 204
    both.wait_for(lambda: not psutil.pid_exists(worker), "its worker was left")
    for server in both.both:
        found = server.people["alice"].get(at).json()
        assert (found["state"], found["error"]["code"]) == ("failed", "cancelled")
        assert "alice/never" not in _names(server, "alice")


def test_a_forged_pass_of_a_process_opens_nothing(both: Two) -> None:
    from easymlnb_server.apps.passes import SCHEME, sign

    for server in both.both:
        shown = [sign(key, ALICES, "alice") for key in ("", "guessed")]
        for secret in (*shown, f"{shown[0]}\u00e9", ".", ".\u00e9"):
            header = {"Authorization": f"{SCHEME} {secret}".encode("latin-1")}
            url = f"{server.url}easymlnb/services/{ALICES}/call"
            assert httpx.post(url, json={}, headers=header, timeout=60).status_code == 401


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "NONSENSE"])
def test_a_body_that_nobody_expects_is_no_request_of_the_next_one(both: Two, method: str) -> None:
    holder, other = both.of(ALICES)
    address = f"/easymlnb/services/{ALICES}"
    inside = f"GET {address} HTTP/1.1\r\nHost: localhost\r\nAuthorization: token no-token\r\n\r\n"
    head = f"{method} {address} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    text = f"{head}{len(inside):x}\r\n{inside}\r\n0\r\n\r\n"
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", other.port), 60) as line:
            line.sendall(text.encode())
            assert line.recv(2**16).startswith(b"HTTP/1.1 4")
        for _ in range(3):
            answer = other.people["alice"].get(f"services/{ALICES}")
            assert answer.json()["full_name"] == ALICES
    assert holder.people["alice"].get(f"services/{ALICES}").status_code == 200
