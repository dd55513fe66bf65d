"""Publishing that is called off: by its route, by Ctrl-C in a terminal, by interrupting a cell."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import psutil

from easymlnb.publishing.bundle import build_bundle
from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import RunningServer

COMMAND = [sys.executable, "-c", "from easymlnb.cli import main; main()"]
FUNCTION = "import easymlnb as ml\n@ml.service\ndef {name}() -> int:\n    return {value}\n"
WAITS = """
import os, time
from pathlib import Path

if "EASYMLNB_WORKER" in os.environ:
    Path({file!r}).write_text(str(os.getpid()))
    while Path({file!r}).exists():
        time.sleep(0.05)
"""


class Slow:
    """A notebook whose worker waits, before it can serve, for its file to be removed."""

    def __init__(self, server: RunningServer, folder: Path, name: str) -> None:
        self.server = server
        self.file = folder / "worker"
        self.path = folder / f"{name}.ipynb"
        self.function = FUNCTION.format(name=name, value=2)
        notebook = make_notebook(self.function, WAITS.format(file=str(self.file)))
        nbformat.write(notebook, self.path)

    def post(self) -> str:
        answer = self.server.http.post(
            "services",
            content=build_bundle(self.path).data,
            headers={"Content-Type": "application/zip"},
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["bundle"])

    def worker(self) -> int:
        """Return the process that executes the notebook, once there is one."""
        self.server.wait_for(
            lambda: self.file.exists() and self.file.read_text(), "it is not executed"
        )
        return int(self.file.read_text())

    def called_off(self, worker: int) -> None:
        self.server.wait_for(lambda: not psutil.pid_exists(worker), "its worker was left")


def status(server: RunningServer, bundle: str) -> dict[str, Any]:
    found: dict[str, Any] = server.http.get(f"bundles/{bundle}").json()
    return found


def publishing(slow: Slow) -> subprocess.Popen[str]:
    url = str(slow.server.http.base_url).removesuffix("easymlnb/")
    token = slow.server.http.headers["Authorization"].removeprefix("token ")
    return subprocess.Popen(
        [*COMMAND, "publish", str(slow.path)],
        env={**os.environ, "EASYMLNB_URL": url, "EASYMLNB_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_start_is_called_off_and_what_served_before_goes_on(
    session_server: RunningServer, tmp_path: Path
) -> None:
    before = FUNCTION.format(name="off_next", value=1)
    assert session_server.publish(make_notebook(before), "off.ipynb")["state"] == "ready"
    slow = Slow(session_server, tmp_path, "off_next")
    bundle = slow.post()
    worker = slow.worker()
    assert session_server.http.delete(f"bundles/{bundle}").status_code == 204
    found = status(session_server, bundle)
    assert (found["state"], found["error"]["code"]) == ("failed", "cancelled")
    assert "canceled" in found["error"]["message"]
    slow.called_off(worker)
    assert session_server.call("off_next").json() == 1
    # Again: it has failed already.
    assert session_server.http.delete(f"bundles/{bundle}").status_code == 204
    assert status(session_server, bundle) == found


def test_what_was_called_off_is_published_again_at_once(
    session_server: RunningServer, tmp_path: Path
) -> None:
    slow = Slow(session_server, tmp_path, "off_again")
    bundle = slow.post()
    first = slow.worker()
    assert session_server.http.delete(f"bundles/{bundle}").status_code == 204
    assert slow.post() == bundle
    slow.called_off(first)

    def second() -> bool:
        told = slow.file.read_text()
        return bool(told) and int(told) != first

    session_server.wait_for(second, "it is not executed again")
    slow.file.unlink()
    session_server.wait_for(
        lambda: status(session_server, bundle)["state"] == "ready", "it does not serve"
    )
    assert session_server.call("off_again").json() == 2
    refused = session_server.http.delete(f"bundles/{bundle}")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (409, "bundle_in_use")
    assert error["details"] == {"services": ["off_again"]}
    assert "easymlnb remove off_again" in error["message"]
    assert session_server.call("off_again").json() == 2


def test_an_unknown_bundle_is_not_called_off(session_server: RunningServer) -> None:
    answer = session_server.http.delete(f"bundles/{'0' * 64}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "bundle_not_found")


def test_ctrl_c_in_a_terminal_calls_it_off(session_server: RunningServer, tmp_path: Path) -> None:
    slow = Slow(session_server, tmp_path, "off_command")
    process = publishing(slow)
    worker = slow.worker()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Publishing was canceled" in said
    assert "Traceback" not in said
    slow.called_off(worker)
    assert session_server.http.get("services/off_command").status_code == 404


def test_a_second_ctrl_c_leaves_at_once(session_server: RunningServer, tmp_path: Path) -> None:
    slow = Slow(session_server, tmp_path, "off_twice")
    process = publishing(slow)
    worker = slow.worker()
    assert session_server.process is not None and process.stderr is not None
    session_server.process.send_signal(signal.SIGSTOP)  # so that it does not answer
    try:
        process.send_signal(signal.SIGINT)
        while "Canceling" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        session_server.process.send_signal(signal.SIGCONT)
    assert process.returncode == 130
    assert "Traceback" not in said and "was canceled" not in said
    slow.file.unlink(missing_ok=True)
    session_server.wait_for(
        # Whether the server had read the request by then is open.
        lambda: (
            not psutil.pid_exists(worker)
            or session_server.http.get("services/off_twice").status_code == 200
        ),
        "it neither ended nor began to serve",
    )


def test_interrupting_the_cell_calls_it_off(session_server: RunningServer, tmp_path: Path) -> None:
    slow = Slow(session_server, tmp_path, "off_cell")
    kernel = NotebookKernel(session_server.http, "off_cell.ipynb")
    try:
        assert kernel.run(slow.function).error == ""
        cell = kernel.send(f"off_cell.publish(notebook={str(slow.path)!r})")
        worker = slow.worker()
        root = str(session_server.http.base_url).removesuffix("easymlnb/")
        session_server.http.post(f"{root}api/kernels/{kernel.id}/interrupt").raise_for_status()
        ran = kernel.wait(cell)
        assert ran.error.startswith("KeyboardInterrupt")
        assert "Publishing was canceled. The previous version, if any, stays online." in ran.stdout
        slow.called_off(worker)
        # Its live service is still there: only what was to be published is not.
        assert session_server.http.get("services/off_cell").json()["version"] is None
    finally:
        kernel.close()
