"""A decorated cell is a service at once, for as long as its kernel lives."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kernels import NotebookKernel
from support.server import RunningServer

ROLL = """
import easymlnb as ml

@ml.service(name="{name}")
def roll(sides: int = 6) -> int:
    "Roll a die."
    print("rolled", sides)
    return sides * {factor}
"""


@pytest.fixture
def kernel(session_server: RunningServer) -> Iterator[NotebookKernel]:
    made = NotebookKernel(session_server.http)
    yield made
    made.close()


def test_cell_answers_calls_at_once(session_server: RunningServer, kernel: NotebookKernel) -> None:
    ran = kernel.run(ROLL.format(name="live_roll", factor=2))
    assert ran.error == ""
    answer = session_server.call("live_roll", sides=4)
    assert (answer.status_code, answer.json()) == (200, 8)
    assert answer.headers["X-Easymlnb-Version"] == "live"
    assert answer.headers["X-Request-Id"]


def test_running_the_cell_again_replaces_the_service(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    kernel.run(ROLL.format(name="live_again", factor=2))
    kernel.run(ROLL.format(name="live_again", factor=3))
    assert session_server.call("live_again", sides=4).json() == 12


def test_form_appears_under_the_cell(kernel: NotebookKernel) -> None:
    ran = kernel.run(ROLL.format(name="live_form", factor=2))
    assert "application/vnd.jupyter.widget-view+json" in ran.displays[0]


def test_function_stays_a_function(kernel: NotebookKernel) -> None:
    ran = kernel.run(ROLL.format(name="live_function", factor=2) + "\nassert roll(2) == 4")
    assert (ran.stdout, ran.error) == ("rolled 2\n", "")


def test_a_busy_cell_hands_the_interpreter_over_soon(kernel: NotebookKernel) -> None:
    kernel.run(ROLL.format(name="live_switch", factor=2))
    ran = kernel.run("import sys\nprint(sys.getswitchinterval())")
    assert 0 < float(ran.stdout) < 0.0002


def test_removing_takes_it_away(session_server: RunningServer, kernel: NotebookKernel) -> None:
    kernel.run(ROLL.format(name="live_removed", factor=2))
    kernel.run("roll.remove()")
    session_server.wait_for(
        lambda: session_server.call("live_removed").status_code == 404, "it is still there"
    )


@pytest.mark.parametrize("how", ["restart", "close"])
def test_end_of_the_kernel_takes_it_away(session_server: RunningServer, how: str) -> None:
    kernel = NotebookKernel(session_server.http)
    kernel.run(ROLL.format(name=f"live_{how}", factor=2))
    assert session_server.call(f"live_{how}").status_code == 200
    getattr(kernel, how)()
    session_server.wait_for(
        lambda: session_server.call(f"live_{how}").status_code == 404, "it is still there"
    )
    if how == "restart":
        kernel.close()


def test_other_notebook_cannot_take_the_name(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    kernel.run(ROLL.format(name="live_taken", factor=2))
    other = NotebookKernel(session_server.http, "other.ipynb")
    try:
        ran = other.run(ROLL.format(name="live_taken", factor=5))
        assert "Another notebook" in ran.stderr
        assert session_server.call("live_taken", sides=1).json() == 2
    finally:
        other.close()


def test_second_kernel_of_the_same_notebook_takes_the_name(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    kernel.run(ROLL.format(name="live_newer", factor=2))
    kernel.move("moved.ipynb")  # or the server would give its running kernel again
    newer = NotebookKernel(session_server.http)
    assert newer.id != kernel.id
    try:
        newer.run(ROLL.format(name="live_newer", factor=7))
        assert session_server.call("live_newer", sides=1).json() == 7
    finally:
        newer.close()


def test_calls_run_beside_a_busy_cell(
    session_server: RunningServer, kernel: NotebookKernel, tmp_path: Path
) -> None:
    kernel.run(ROLL.format(name="live_busy", factor=2))
    begun, over = tmp_path / "begun", tmp_path / "over"
    cell = kernel.send(
        f"import os, time\nopen({str(begun)!r}, 'w').close()\n"
        f"while not os.path.exists({str(over)!r}):\n    time.sleep(0.01)\nprint('cell done')"
    )
    session_server.wait_for(begun.exists, "the cell does not run")
    try:
        assert session_server.call("live_busy", sides=3).json() == 6  # while it runs
    finally:
        over.touch()
    assert kernel.wait(cell).stdout == "cell done\n"


def test_call_from_a_cell_of_the_same_notebook_does_not_deadlock(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    kernel.run(ROLL.format(name="live_self", factor=2))
    url = f"{session_server.url}easymlnb/services/live_self/call"
    ran = kernel.run(
        f"import httpx\nprint(httpx.post({url!r}, json={{'sides': 5}}, timeout=50,"
        f" headers={{'Authorization': 'token {session_server.token}'}}).json())"
    )
    assert (ran.stdout, ran.error) == ("10\n", "")


def test_prints_belong_to_their_call(session_server: RunningServer, kernel: NotebookKernel) -> None:
    kernel.run(ROLL.format(name="live_prints", factor=2))
    cell = kernel.send("import time\nfor _ in range(10):\n    print('cell'); time.sleep(0.05)")
    for sides in range(5):
        session_server.call("live_prints", sides=sides)
    assert set(kernel.wait(cell).stdout.split()) == {"cell"}
    entries = session_server.http.get("services/live_prints/log").json()["entries"]
    assert [entry["log"] for entry in entries[-5:]] == [f"rolled {n}\n" for n in range(5)]


def test_calls_in_parallel_get_their_own_answers(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    kernel.run(
        "import easymlnb as ml, time\n@ml.service(workers=4)\n"
        "def live_echo(n: int) -> int:\n    time.sleep(0.01 * (n % 3)); return n"
    )
    found: dict[int, int] = {}

    def ask(number: int) -> None:
        found[number] = session_server.call("live_echo", n=number).json()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: n for n in range(30)}


def test_calls_are_activity_of_the_kernel(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    kernel.run(ROLL.format(name="live_activity", factor=2))
    before = kernel.model()["last_activity"]
    time.sleep(0.05)
    session_server.call("live_activity")
    assert kernel.model()["last_activity"] > before


def test_killed_kernel_answers_with_a_clear_error(session_server: RunningServer) -> None:
    kernel = NotebookKernel(session_server.http, "dying.ipynb")
    kernel.run("import easymlnb as ml, os\n@ml.service\ndef live_dies() -> int:\n    os._exit(1)")
    answer = session_server.call("live_dies")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "worker_lost"
    kernel.close()


def test_endless_loop_is_stopped_at_the_deadline(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    kernel.run(
        "import easymlnb as ml\n@ml.service(timeout=3)\ndef live_loop(go: bool) -> int:\n"
        "    while go: pass\n    return 1"
    )
    assert session_server.call("live_loop", go=True).status_code == 504
    # The one slot of the service is free again only because the loop was really stopped.
    assert session_server.call("live_loop", go=False).json() == 1


def test_view_is_what_people_see(session_server: RunningServer, kernel: NotebookKernel) -> None:
    kernel.run(
        "import easymlnb as ml\n@ml.service\ndef live_view(a: int, b: int = 2) -> int:\n"
        "    return a * b\n"
        "@live_view.view\ndef _(a, result):\n    return {'asked': a, 'answer': f'**{result}**'}"
    )
    answer = session_server.http.post("services/live_view/view", json={"a": 3}).json()
    assert answer["result"] == 6
    assert [part["title"] for part in answer["parts"]] == ["asked", "answer"]
    assert session_server.call("live_view", a=3).json() == 6
