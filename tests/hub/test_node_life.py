"""Nodes come when they are needed and go when they are not, whatever is killed meanwhile."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.hub.hub import Hub, User
from support.notebooks import make_notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

NODE = "easymlnb-cpu-1"
PID = """
import os
import easymlnb as ml

@ml.service(placement="cpu", {options})
def pid() -> int:
    return os.getpid()
"""


SLOW = """
import os, time
from pathlib import Path
import easymlnb as ml

@ml.service(placement="cpu")
def slow(folder: str) -> int:
    print("it began")
    (Path(folder) / "pid").write_text(str(os.getpid()))
    while not (Path(folder) / "on").exists():
        time.sleep(0.01)
    print("it went on")
    (Path(folder) / "went-on").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return os.getpid()
"""


@pytest.fixture
def erin(hub: Hub) -> Iterator[User]:
    made = hub.serve("erin")
    yield made
    # The next test's server must not bring this one's workers back.
    again = hub.serve("erin")
    assert again.http.delete("services/pid").status_code in (204, 404)
    for name in list(hub.servers("erin")):
        hub.stop_server("erin", name)


def publish(user: User, folder: Path, options: str) -> int:
    """Publish the service and return the process that answers."""
    found = user.publish(make_notebook(PID.format(options=options)), folder / "pid.ipynb")
    assert found["state"] == "ready", found.get("error")
    return answer(user)


def answer(user: User) -> int:
    """Return who answers, once somebody does."""

    def called() -> int:
        got = user.call("pid")
        return int(got.json()) if got.status_code == 200 else 0

    found: int = user.hub.wait_for(called, "the service does not answer")
    return found


def kill(hub: Hub, name: str) -> None:
    model = hub.server("erin", name)
    assert model is not None
    os.kill(model["state"]["pid"], signal.SIGKILL)


def test_idle_node_stops_and_a_call_wakes_one(hub: Hub, erin: User, tmp_path: Path) -> None:
    # The time of the call that wakes it runs while a node starts.
    first = publish(erin, tmp_path, "min_workers=0, idle=1, timeout=180")
    hub.wait_for(lambda: NODE not in hub.servers("erin"), "the idle node did not stop")
    hub.wait_for(lambda: not psutil.pid_exists(first), "its worker was left behind")
    hub.wait_for(lambda: hub.server("erin", NODE) is None, "its name was left")
    # The call that wakes it gets its position, the reason for waiting, and an estimate.
    accept = {"Accept": "text/event-stream"}
    with erin.http.stream("POST", "services/pid/call", json={}, headers=accept) as told:
        lines = [line for line in told.iter_lines() if line and not line.startswith(":")]
    events = list(zip(lines[::2], lines[1::2], strict=True))
    waited = [json.loads(data[5:]) for event, data in events if event == "event: waiting"]
    assert waited[0]["position"] == 1
    assert {one["state"] for one in waited} <= {"asleep", "starting"}
    assert any(one["seconds"] for one in waited)
    assert any("Spawning server" in one.get("reason", "") for one in waited), waited
    assert events[-1][0] == "event: result"
    assert int(events[-1][1][5:]) != first


def test_killed_node_is_replaced_and_leaves_no_process(
    hub: Hub, erin: User, tmp_path: Path
) -> None:
    first = publish(erin, tmp_path, "workers=1")
    kill(hub, NODE)
    hub.wait_for(lambda: answer(erin) != first, "the worker was not replaced")
    hub.wait_for(lambda: not psutil.pid_exists(first), "the old worker was left behind")


@pytest.mark.nightly
def test_a_call_that_became_a_job_outlives_its_server(hub: Hub, erin: User, tmp_path: Path) -> None:
    found = erin.publish(make_notebook(SLOW), tmp_path / "slow.ipynb")
    assert found["state"] == "ready", found.get("error")
    values = {"folder": str(tmp_path)}
    answer = erin.http.post("services/slow/call", json=values, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "running"
    job = f"jobs/{answer.json()['id']}"
    kill(hub, "")
    (tmp_path / "on").touch()
    hub.wait_for(lambda: "" not in hub.servers("erin"), "the Hub did not notice")
    hub.wait_for((tmp_path / "went-on").exists, "the call waits for its server")
    again = hub.serve("erin")
    (tmp_path / "go").touch()
    hub.wait_for(lambda: again.http.get(job).json()["state"] == "succeeded", "it is not adopted")
    done = again.http.get(job).json()
    assert [one["outcome"] for one in done["attempts"]] == ["succeeded"]
    assert again.http.get(f"{job}/result").json() == int((tmp_path / "pid").read_text())
    assert again.http.get(f"{job}/log").text == "it began\nit went on\n"
    assert again.http.delete("services/slow").status_code == 204


def test_next_server_takes_the_worker_over(hub: Hub, erin: User, tmp_path: Path) -> None:
    first = publish(erin, tmp_path, "workers=1")
    kill(hub, "")
    hub.wait_for(lambda: "" not in hub.servers("erin"), "the Hub did not notice")
    again = hub.serve("erin")
    assert answer(again) == first
    # It is asked for, so its node does not take it for one that nobody wants.
    (there,) = again.kernels(NODE)
    assert there["worker"]
    assert not there["connected"]

    def measured() -> bool:
        stats = again.http.get("services/pid").json()["stats"]
        return bool(stats.get("memory_bytes"))

    hub.wait_for(measured, "what it takes is not known")
