"""What is killed, cut, revoked or renamed on a Hub, while services on its nodes are called."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from support.hub.hub import Hub, User
from support.hub.load import AWAY, Load, straight
from support.notebooks import make_notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

NODE = "easymlnb-cpu-1"
WHO = """
import os, pathlib, time
import easymlnb as ml

@ml.service(placement="cpu", timeout=90)
def who(seconds: float = 0.0) -> int:
    if seconds:
        pathlib.Path("~/begun").expanduser().touch()
    time.sleep(seconds)
    return os.getpid()

@ml.service(timeout=90, idempotent=True)
def again() -> int:
    return os.getpid()
"""
TERM = """
import os
import easymlnb as ml

@ml.service(placement="{placement}", timeout=120)
def {placement}() -> int:
    return os.getpid()
"""
NEEDS = """
import easymlnb as ml

@ml.service(placement="gpu")
def needs() -> int:
    return 1
"""


def served(user: User, name: str = "who") -> int:
    """Return the process that answers, once one does."""

    def called() -> int:
        got = user.call(name)
        return int(got.json()) if got.status_code == 200 else 0

    found: int = user.hub.wait_for(called, f"{name} does not answer")
    return found


def clean(hub: Hub, user: str) -> None:
    """Stop all that a user has; nothing of it must be left."""
    for name in list(hub.servers(user)):
        hub.stop_server(user, name)
    hub.wait_for(lambda: not processes(hub, user), f"left: {processes(hub, user)}")


def processes(hub: Hub, user: str) -> list[list[str]]:
    """Return what runs for a user of the Hub."""
    found, home = [], f"{hub.folder}/homes/{user}"
    for process in psutil.process_iter():
        try:
            if process.environ().get("HOME") == home:
                found.append(process.cmdline())
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture(scope="module")
def frank(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Somebody whose services are called all the time."""
    made = hub.serve("frank")
    path = tmp_path_factory.mktemp("frank") / "who.ipynb"
    found = made.publish(make_notebook(WHO), path)
    assert found["state"] == "ready", found.get("error")
    yield made
    clean(hub, "frank")


def test_hub_killed_under_load_and_no_call_fails(hub: Hub, frank: User) -> None:
    first = served(frank)
    with Load(frank, "who") as load:
        hub.kill()
        load.more(100)
        # To avoid the gap, run the proxy on its own, as Zero to JupyterHub does.
        hub.variables["TEST_HUB_PROXY_STAYS"] = "1"
        hub.start()
        load.more(100)
    assert set(load.ends) == {"ok"}
    assert set(load.values) == {first}
    # A Hub may still be looking at what runs when it answers.
    hub.wait_for(lambda: set(hub.servers("frank")) == {"", NODE}, "it does not know its servers")
    # A Hub that brings its own proxy along makes a gap, and no more than that.
    hub.kill()
    del hub.variables["TEST_HUB_PROXY_STAYS"]
    with Load(frank, "again") as load:
        hub.start()
        load.more(100)
    assert set(load.ends) <= {"ok", AWAY}
    assert set(load.values) == {first}


def test_proxy_killed_under_load_and_the_worker_stays(hub: Hub, frank: User) -> None:
    first = served(frank)
    base = straight(frank)
    with ThreadPoolExecutor() as pool, Load(frank, "again", base=base) as load:
        long = pool.submit(
            httpx.post, f"{base}services/who/call",
            json={"seconds": 60}, headers=frank.headers, timeout=90,
        )  # fmt: skip
        hub.wait_for((hub.folder / "homes/frank/begun").exists, "the long call did not begin")
        os.kill(hub.proxy, signal.SIGKILL)
        # Queued calls are answered when the worker is back; running calls fail.
        assert long.result().json()["error"]["code"] == "worker_lost"
        load.more(100)
    assert set(load.ends) == {"ok"}
    assert set(load.values) == {first}
    assert served(frank) == first


def test_network_cut_and_healed_loses_nothing(hub: Hub, frank: User) -> None:
    first = served(frank)
    with Load(frank, "who", base=straight(frank)) as load:
        os.kill(hub.proxy, signal.SIGSTOP)
        time.sleep(3)  # nothing passes
        os.kill(hub.proxy, signal.SIGCONT)
        load.more(100)
    assert set(load.ends) == {"ok"}
    assert set(load.values) == {first}


def test_node_killed_under_load_and_another_takes_over(hub: Hub, frank: User) -> None:
    first = served(frank)
    with Load(frank, "again") as load:
        model = hub.server("frank", NODE)
        assert model is not None
        os.kill(model["state"]["pid"], signal.SIGKILL)
        hub.wait_for(lambda: len(load.values) == 2, "nobody took over")
        load.more()
    assert set(load.ends) == {"ok"}
    hub.wait_for(lambda: not psutil.pid_exists(first), "the old worker was left behind")


def test_revoked_token_is_told_and_what_runs_goes_on(hub: Hub, frank: User, tmp_path: Path) -> None:
    first = served(frank)
    with Load(frank, "who") as load:
        found = hub.api.get("users/frank/tokens").json()["api_tokens"]
        mine = [one["id"] for one in found if one.get("note", "") == "Server at /user/frank/"]
        for token in mine:
            assert hub.api.delete(f"users/frank/tokens/{token}").status_code == 204
        failed = frank.publish(make_notebook(NEEDS), tmp_path / "needs.ipynb")
        load.more()
    assert failed["state"] == "failed"
    assert "rejects this server's token" in failed["error"]["message"]
    assert set(load.ends) == {"ok"}
    assert set(load.values) == {first}


def test_renamed_user_is_told_to_start_anew(hub: Hub, tmp_path: Path) -> None:
    grace = hub.serve("grace")
    # From here on her server knows her token, for minutes, without asking the Hub again.
    assert grace.http.get("services").status_code == 200
    assert hub.api.patch("users/grace", json={"name": "greta"}).status_code == 200
    try:
        failed = grace.publish(make_notebook(NEEDS), tmp_path / "needs.ipynb")
        assert failed["state"] == "failed"
        assert "name of this user is now 'greta'" in failed["error"]["message"]
    finally:
        for name in list(hub.servers("greta")):
            hub.stop_server("greta", name)
    assert hub.api.delete("users/greta").status_code == 204
    hub.wait_for(lambda: not processes(hub, "grace"), "something was left")


def test_nothing_is_left_of_a_server_that_never_came_back(hub: Hub, tmp_path: Path) -> None:
    ivan = hub.serve("ivan")
    found = ivan.publish(make_notebook(WHO), tmp_path / "who.ipynb")
    assert found["state"] == "ready", found.get("error")
    worker = served(ivan)
    model = hub.server("ivan")
    assert model is not None
    os.kill(model["state"]["pid"], signal.SIGKILL)
    hub.wait_for(lambda: not psutil.pid_exists(worker), "the worker was left behind")
    hub.wait_for(lambda: not hub.servers("ivan"), "a node was left behind")
    hub.wait_for(lambda: not processes(hub, "ivan"), f"left: {processes(hub, 'ivan')}")
    assert hub.server("ivan", NODE) is None


def test_workers_move_before_their_node_ends(hub: Hub, tmp_path: Path) -> None:
    judy = hub.serve("judy")
    names = ("brief", "alone")
    for name in names:
        found = judy.publish(make_notebook(TERM.format(placement=name)), tmp_path / f"{name}.ipynb")
        assert found["state"] == "ready", found.get("error")
    first = {name: served(judy, name) for name in names}
    with Load(judy, "brief", callers=2) as brief, Load(judy, "alone", callers=1) as alone:
        for load in (brief, alone):
            hub.wait_for(lambda load=load: len(load.values) > 1, "no worker took over")
            load.more()
    # With a free slot for the next worker no call waits; without one calls are queued. None fails.
    assert set(brief.ends) == {"ok"}
    assert set(alone.ends) == {"ok"}
    for pid in first.values():
        hub.wait_for(lambda pid=pid: not psutil.pid_exists(pid), "an old worker was left")
    hub.wait_for(lambda: "easymlnb-brief-1" not in hub.servers("judy"), "the old node stays")
    clean(hub, "judy")
