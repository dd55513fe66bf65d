"""What surrounds a function in its worker: texts on their way out, variables, sockets, streams."""

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import RunningServer, make_notebook
from notebook_kernel import NotebookKernel

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
