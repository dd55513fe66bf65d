"""What surrounds a function in its worker: texts on their way out, variables, sockets, streams."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.invariants import data
from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import RunningServer

TEXTS = r"""
import json, os, sys
import easymlnb as ml

LONE = json.loads('"\\ud83d"')
print("in a cell", LONE)

@ml.service(name="{name}")
def says(how: str) -> str:
    print("said", LONE)
    print("and", LONE, file=sys.stderr)
    if how == "raises":
        raise ValueError(LONE)
    if how == "explains":
        raise ml.CallerError("No " + LONE)
    return LONE if how == "returns" else "fine"

@ml.service(name="{name}_beside")
async def says_beside(how: str) -> str:
    return says(how)
"""


def said(server: RunningServer, name: str, request: str) -> dict[str, Any]:
    """Return what the log of a service has of one call."""
    entries = server.http.get(f"services/{name}/log").json()["entries"]
    found: dict[str, Any] = next(entry for entry in entries if entry["request_id"] == request)
    return found


def answers_whatever_is_said(server: RunningServer, name: str) -> None:
    """Check that each call of ``TEXTS`` has its answer, and what was said is in the log."""
    for how, code in (
        ("prints", ""),
        ("raises", "call_failed"),
        ("explains", "caller_error"),
        ("returns", "result_not_encodable"),
    ):
        answer = server.call(name, how=how)
        assert (answer.json()["error"]["code"] if code else answer.json()) == (code or "fine")
        entry = said(server, name, answer.headers["X-Request-Id"])
        assert entry["log"] == "said \\ud83d\nand \\ud83d\n"
        assert how != "raises" or "ValueError: \\ud83d" in entry["trace"]
        assert how != "explains" or answer.json()["error"]["message"] == "No \\ud83d"


def test_lone_surrogates_end_no_published_worker(session_server: RunningServer) -> None:
    found = session_server.publish(make_notebook(TEXTS.replace("{name}", "texts")), "texts.ipynb")
    assert found["state"] == "ready"
    executed = session_server.http.get(f"bundles/{found['bundle']}/notebook").text
    assert "in a cell \\\\ud83d" in executed
    for name in ("texts", "texts_beside"):
        answers_whatever_is_said(session_server, name)


def test_lone_surrogate_in_the_error_of_a_cell_is_in_its_traceback(
    session_server: RunningServer,
) -> None:
    found = session_server.publish(
        make_notebook("import json", "raise ValueError(json.loads('\"\\\\ud83d\"'))"), "fails.ipynb"
    )
    assert found["state"] == "failed"
    assert "ValueError: \\ud83d" in found["error"]["traceback"]


@pytest.fixture
def kernel(session_server: RunningServer) -> Iterator[NotebookKernel]:
    made = NotebookKernel(session_server.http)
    yield made
    made.close()


def test_lone_surrogates_end_no_link_of_an_authors_kernel(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    assert kernel.run(TEXTS.replace("{name}", "texts_live")).error == ""
    for name in ("texts_live", "texts_live_beside"):
        answers_whatever_is_said(session_server, name)


PEEKS = r"""
import os, sys
import easymlnb as ml

if (child := os.fork()) == 0:
    print("a child says this", flush=True)
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)

@ml.service
def listens() -> list[int]:
    "Return the TCP ports on which this worker listens."
    import psutil
    found = psutil.Process().net_connections("tcp")
    return [one.laddr.port for one in found if one.status == psutil.CONN_LISTEN]

@ml.service
def writes(megabytes: int) -> int:
    os.system("echo a child writes this")
    for _ in range(megabytes):
        os.write(1, b"x" * 1_000_000)
        os.write(2, b"y" * 1_000_000)
    return megabytes
"""


@pytest.fixture(scope="module")
def peeking(session_server: RunningServer) -> tuple[RunningServer, str]:
    """The server with the services of ``PEEKS``, and the notebook as their worker ran it."""
    found = session_server.publish(make_notebook(PEEKS), "peeks.ipynb")
    assert found["state"] == "ready", found
    return session_server, session_server.http.get(f"bundles/{found['bundle']}/notebook").text


def test_worker_listens_on_no_port(peeking: tuple[RunningServer, str]) -> None:
    server, executed = peeking
    assert server.call("listens").json() == []
    assert "a child says this" in executed  # which comes over what was such a port


def test_raw_output_is_cut_in_the_log_of_the_server(peeking: tuple[RunningServer, str]) -> None:
    server, _ = peeking
    before = len(server.log)
    assert server.call("writes", megabytes=20).json() == 20
    server.wait_for(
        lambda: server.log[before:].count("output of this worker was cut") == 2, "no mark"
    )
    said = server.log[before:]
    assert "a child writes this" in said
    assert len(said) < 300_000
    assert server.call("writes", megabytes=1).json() == 1


def test_no_other_account_can_read_the_data_folder(peeking: tuple[RunningServer, str]) -> None:
    folder = data(peeking[0])
    open_ = [
        path
        for path in (folder, *folder.rglob("*"))
        if not path.is_symlink()
        and path.lstat().st_mode & 0o077
        # Python creates these folders with its own mode, inside of folders that are closed.
        and path.name != "__pycache__"
    ]
    assert open_ == []
