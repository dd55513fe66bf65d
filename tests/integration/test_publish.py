"""Publishing freezes a notebook, checks it, serves it, and survives whatever happens to servers."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import nbformat
import pytest

from easymlnb.publishing.bundle import build_bundle
from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import RunningServer, free_port

pytestmark = pytest.mark.timeout(300)  # servers and kernels start several times

ROLL = """
import easymlnb as ml

@ml.service(name="{name}", examples=[{{"sides": 3}}])
def roll(sides: int = 6) -> int:
    return sides * {factor}
"""


def roll(name: str, factor: int) -> nbformat.NotebookNode:
    return make_notebook(ROLL.format(name=name, factor=factor))


def test_published_service_answers(session_server: RunningServer) -> None:
    found = session_server.publish(roll("pub_first", 2))
    one = {
        "name": "pub_first",
        "full_name": "pub_first",
        "version": 1,
        "public": False,
        "weight": 100.0,
    }
    assert (found["state"], found["services"]) == ("ready", [one])
    answer = session_server.call("pub_first", sides=4)
    assert (answer.json(), answer.headers["X-Easymlnb-Version"]) == (8, "1")


def test_same_content_publishes_nothing_new(session_server: RunningServer) -> None:
    first = session_server.publish(roll("pub_same", 2))
    notebook = roll("pub_same", 2)
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="seen")]
    notebook.cells[0].execution_count = 7
    again = session_server.publish(notebook, "renamed_outputs_do_not_count.ipynb")
    assert session_server.http.get("services/pub_same/versions").json()["versions"][-1][
        "version"
    ] == (2 if again["bundle"] != first["bundle"] else 1)
    repeated = session_server.publish(roll("pub_same", 2))
    assert repeated["bundle"] == first["bundle"]


def test_new_content_is_a_new_version_and_the_old_one_goes_on_meanwhile(
    session_server: RunningServer,
) -> None:
    session_server.publish(roll("pub_next", 2))
    session_server.publish(roll("pub_next", 3))
    answer = session_server.call("pub_next", sides=4)
    assert (answer.json(), answer.headers["X-Easymlnb-Version"]) == (12, "2")
    versions = session_server.http.get("services/pub_next/versions").json()["versions"]
    assert [(v["version"], v["current"]) for v in versions] == [(1, False), (2, True)]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["import easymlnb as ml", "1/0"], "Cell 2 of the notebook raised ZeroDivisionError"),
        (["name = input('who? ')"], "Cell 1 of the notebook raised StdinNotImplementedError"),
        (["import os", "os._exit(0)"], "Cell 2 of the notebook ended the kernel"),
        (["x = 1"], "defines no service"),
        (
            [ROLL.format(name="pub_broken", factor="1 // 0")],
            "Example 1 of 'pub_broken' failed",
        ),
    ],
)
def test_broken_notebook_never_replaces_what_serves(
    session_server: RunningServer, cells: list[str], said: str
) -> None:
    session_server.publish(roll("pub_broken", 2))
    found = session_server.publish(make_notebook(*cells), "broken.ipynb")
    assert found["state"] == "failed"
    assert said in found["error"]["message"]
    assert session_server.call("pub_broken", sides=4).json() == 8


def test_author_sees_cell_and_traceback(session_server: RunningServer) -> None:
    found = session_server.publish(make_notebook("x = 1", "def f():\n    1/0\nf()"), "trace.ipynb")
    error = found["error"]
    assert (error["cell"], error["source"]) == (1, "def f():\n    1/0\nf()")
    assert "ZeroDivisionError" in error["traceback"]
    log = session_server.http.get(f"bundles/{found['bundle']}/notebook").json()
    assert log["cells"][1]["outputs"][0]["ename"] == "ZeroDivisionError"


def test_hanging_notebook_fails_in_time(server: RunningServer) -> None:
    server.stop()
    server.options = ("--EasyMLNB.start_timeout=12",)
    server.start()
    found = server.publish(make_notebook("import time", "while True: time.sleep(1)"))
    assert "was not ready within 12 s; cell 2" in found["error"]["message"]


def test_cells_tagged_skip_are_left_out(session_server: RunningServer) -> None:
    notebook = make_notebook(ROLL.format(name="pub_skip", factor=2), "1/0", skip=(1,))
    assert session_server.publish(notebook, "skip.ipynb")["state"] == "ready"


def test_files_and_modules_beside_the_notebook_come_along(session_server: RunningServer) -> None:
    (session_server.root / "pub_helper.py").write_text("FACTOR = 5\n")
    (session_server.root / "pub_data.csv").write_text("a\n7\n")
    notebook = make_notebook(
        "import easymlnb as ml, pub_helper\nrows = open('pub_data.csv').read().split()\n"
        "@ml.service\ndef pub_files(x: int) -> int:\n"
        "    return x * pub_helper.FACTOR + int(rows[1])"
    )
    found = session_server.publish(notebook, "files.ipynb")
    assert found["files"] == ["pub_data.csv", "pub_helper.py"]
    (session_server.root / "pub_helper.py").write_text("FACTOR = 0\n")
    assert session_server.call("pub_files", x=2).json() == 17


def test_deleting_the_notebook_changes_nothing(server: RunningServer) -> None:
    server.publish(roll("kept", 2), "gone.ipynb")
    (server.root / "gone.ipynb").unlink()
    server.stop()
    server.start()
    server.wait_for(lambda: server.state("kept") == "ready", "it did not come back")
    assert server.call("kept", sides=4).json() == 8


def test_survives_kill_of_the_server(server: RunningServer) -> None:
    for number in range(3):
        server.publish(roll(f"kept_{number}", number + 1), f"kept_{number}.ipynb")
    server.stop(signal.SIGKILL)
    server.start()
    # A call that comes while its worker starts waits for it.
    assert [server.call(f"kept_{n}", sides=2).json() for n in range(3)] == [2, 4, 6]


def test_server_killed_during_publish_goes_on_with_it(server: RunningServer) -> None:
    path = server.root / "slow.ipynb"
    nbformat.write(
        make_notebook("import time; time.sleep(2)", ROLL.format(name="slow", factor=2)), path
    )
    sent = server.http.post(
        "services", content=build_bundle(path).data, headers={"Content-Type": "application/zip"}
    )
    assert sent.status_code == 202
    time.sleep(0.5)
    server.stop(signal.SIGKILL)
    server.start()
    server.wait_for(lambda: server.state("slow") == "ready", "publishing was lost")
    assert server.call("slow", sides=2).json() == 4


def test_one_broken_service_does_not_keep_others_from_starting(server: RunningServer) -> None:
    server.publish(roll("good", 2), "good.ipynb")
    flag = server.folder / "fail"
    server.publish(
        make_notebook(
            f"import easymlnb as ml, os\nassert not os.path.exists({str(flag)!r})\n"
            "@ml.service\ndef bad(x: int = 1) -> int:\n    return x"
        ),
        "bad.ipynb",
    )
    flag.touch()
    server.stop()
    server.start()
    assert server.call("good", sides=2).json() == 4
    server.wait_for(lambda: server.state("bad") == "failed", "the broken one is not seen as such")
    error = server.call("bad").json()["error"]
    assert error["code"] == "not_ready"
    flag.unlink()
    server.wait_for(lambda: server.state("bad") == "ready", "it was not tried again")


def test_removed_service_is_gone_for_good(server: RunningServer) -> None:
    server.publish(roll("short", 2))
    assert server.http.delete("services/short").status_code == 204
    assert server.call("short").status_code == 404
    server.stop()
    server.start()
    assert server.call("short").status_code == 404
    found = server.publish(roll("short", 9))
    assert [one["version"] for one in found["services"]] == [2]


def test_published_wins_over_live_and_live_stays_reachable(
    session_server: RunningServer,
) -> None:
    session_server.publish(roll("pub_and_live", 2))
    kernel = NotebookKernel(session_server.http, "both.ipynb")
    try:
        kernel.run(ROLL.format(name="pub_and_live", factor=10))
        assert session_server.call("pub_and_live", sides=1).json() == 2
        live = session_server.http.post("services/pub_and_live/live/call", json={"sides": 1})
        assert (live.json(), live.headers["X-Easymlnb-Version"]) == (10, "live")
    finally:
        kernel.close()


def test_workers_see_no_secrets_of_the_server(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    monkeypatch.setenv("DB_PASSWORD", "hidden")
    server.start()
    server.publish(
        make_notebook(
            "import easymlnb as ml, os\n@ml.service\ndef names() -> list[str]:\n"
            "    return sorted(os.environ)"
        )
    )
    names = server.call("names").json()
    assert "PATH" in names
    assert not [n for n in names if "PASSWORD" in n or "TOKEN" in n or "SECRET" in n]


def test_second_server_on_the_same_folder_leaves_it_alone(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.publish(roll("mine", 2))
    second = RunningServer(server.folder, free_port())
    monkeypatch.setattr(second, "_answers", lambda: _lives(second))
    second.start()
    try:
        assert second.http.get("services").json()["services"] == []
        refused = second.http.post(
            "services", content=b"x", headers={"Content-Type": "application/zip"}
        )
        assert refused.status_code in (400, 503)
        assert server.call("mine", sides=2).json() == 4
    finally:
        second.stop()


def _lives(server: RunningServer) -> bool:
    try:
        return server.http.get("health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_call_in_line_goes_to_the_version_that_takes_over(server: RunningServer) -> None:
    flag = server.folder / "slow"
    server.publish(
        make_notebook(
            f"import easymlnb as ml, os, time\nif os.path.exists({str(flag)!r}): time.sleep(60)\n"
            "@ml.service\ndef kept(x: int = 1) -> int:\n    return x"
        )
    )
    flag.touch()
    server.stop()
    server.start()  # version 1 takes its time to come back
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.call, "kept", sides=21)
        server.publish(roll("kept", 2), "next.ipynb")
        answer = waiting.result()
    assert (answer.json(), answer.headers["X-Easymlnb-Version"]) == (42, "2")
