"""Without a server of its own a decorated cell does nothing but define its function."""

import os
import subprocess
import sys

from nbclient import NotebookClient

from support.notebooks import make_notebook
from support.server import RunningServer

CELL = """
import easymlnb as ml

@ml.service
def quiet(x: int = 2) -> int:
    return x * 2
"""


def of_a_terminal(server: RunningServer) -> dict[str, str]:
    """Return what a terminal of JupyterLab hands on: all but the parent that goes with it."""
    assert server.process is not None
    return {
        **os.environ,
        "EASYMLNB_LINK": f"{server.url}easymlnb/link".replace("http", "ws", 1),
        "EASYMLNB_SECRET": "of-the-server",
        "EASYMLNB_SERVER_PID": str(server.process.pid),
    }


def test_executing_a_notebook_elsewhere_shows_and_registers_nothing(
    session_server: RunningServer,
) -> None:
    notebook = make_notebook(CELL, "print(quiet(4))\nquiet.publish and quiet.remove()")
    NotebookClient(notebook, timeout=60).execute(env=of_a_terminal(session_server))
    assert notebook.cells[0].outputs == []
    assert [output.text for output in notebook.cells[1].outputs] == ["8\n"]
    assert session_server.call("quiet").status_code == 404


def test_plain_script_stays_a_plain_script(session_server: RunningServer) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{CELL}\nprint(quiet(4))"],
        env=of_a_terminal(session_server), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("8\n", "")
