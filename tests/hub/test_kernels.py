"""A kernel that JupyterLab shows as any other, and that runs on a node."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.hub.hub import Hub, User
from support.hub.kernels import Console, Ran
from support.hub.terminal import command

# The Hub looks for its proxy every 30 s, and for nodes that are to start much is started.
pytestmark = pytest.mark.timeout(300)

COUNTS = """
import time
for number in range(60):
    print(number, flush=True)
    time.sleep(0.2)
"""
LIVE = """
import os
import easymlnb as ml

@ml.service
def triple(x: int = 1) -> list:
    return [3 * x, os.environ["TEST_PROFILE"]]
"""
ECHO = """
from comm import create_comm
comm = create_comm(target_name="echo")
comm.on_msg(lambda message: comm.send({"back": message["content"]["data"]}))
print(comm.comm_id)
"""


@pytest.fixture(scope="module")
def carol(hub: Hub) -> Iterator[User]:
    made = hub.serve("carol")
    installed = command(made, "placement", "install", "gpu")
    assert installed.returncode == 0, installed.stderr
    yield made
    for name in list(hub.servers("carol")):
        hub.stop_server("carol", name)


@pytest.fixture(scope="module")
def console(carol: User) -> Iterator[Console]:
    made = Console(carol, "easymlnb-gpu")
    yield made
    made.close()


def test_cells_run_on_the_node(carol: User, console: Console) -> None:
    ran = console.run("import os; print(os.environ['TEST_PROFILE'], os.environ['HOME'])")
    assert ran == Ran("ok", f"gpu {carol.hub.folder}/homes/carol\n")
    listed = command(carol, "placement", "list")
    assert "easymlnb-gpu-1" in listed.stdout, listed.stderr
    assert "kernel" in listed.stdout


def test_services_of_the_notebook_are_live_on_the_authors_server(
    carol: User, console: Console
) -> None:
    assert console.run(LIVE).status == "ok"
    assert carol.call("triple", x=5).json() == [15, "gpu"]


def test_doctor_finds_the_hub_in_order(carol: User) -> None:
    found = command(carol, "doctor", "--hub")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "No problems found." in found.stdout
    assert "placement gpu" in found.stdout


def test_input_is_asked_for(console: Console) -> None:
    ran = console.run("print('hello', input('who?'))", typed="carol")
    assert ran.text == "hello carol\n"


def test_widgets_talk_both_ways(console: Console) -> None:
    comm = console.run(ECHO).text.strip()
    assert console.tell(comm, {"value": 3})[-1]["data"] == {"back": {"value": 3}}


def test_large_outputs_come_whole(console: Console) -> None:
    ran = console.run("print('x' * 20_000_000, flush=True)")
    assert len(ran.text) == 20_000_001


def test_interrupt_and_restart(carol: User, console: Console) -> None:
    console.run("kept = 1")
    running = console.begin("import time; print('begun', flush=True); time.sleep(600)")
    console.until(running, "begun")
    console.post("interrupt")
    assert console.end(running) == Ran("error", "KeyboardInterrupt")
    assert console.run("print(kept)").text == "1\n"
    old = int(console.run("import os; print(os.getpid())").text)
    console.post("restart")
    console.open_again(carol)
    assert console.run("print(kept)").text == "NameError"
    assert not psutil.pid_exists(old)


def test_nothing_is_lost_while_the_proxy_is_away(hub: Hub, carol: User, console: Console) -> None:
    running = console.begin(COUNTS)
    ran = console.first(running)
    proxy = int((hub.folder / "proxy.pid").read_text())
    os.kill(proxy, signal.SIGKILL)
    console.open_again(carol)
    ran = console.end(running, ran=ran)
    assert ran.text.split() == [str(number) for number in range(60)]


def test_shutdown_frees_the_node(hub: Hub, carol: User, tmp_path: Path) -> None:
    made = Console(carol, "easymlnb-gpu")
    assert made.run("1").status == "ok"
    nodes = [name for name in hub.servers("carol") if name]
    made.close()
    last = nodes[-1]
    hub.wait_for(lambda: last not in hub.servers("carol"), "the node was not freed")
    hub.wait_for(lambda: not hub.server("carol", last), "its name was left")


def test_a_kernel_says_what_its_node_waits_for_and_gives_it_up_with_its_user(
    hub: Hub, carol: User
) -> None:
    assert command(carol, "placement", "install", "slow").returncode == 0
    made = Console(carol, "easymlnb-slow")
    try:
        # It is there although its node is not, and says so under the cell.
        cell = made.begin("1 + 1")
        made.until(cell, "Spawning server")
        made.post("interrupt")
        assert made.end(cell).text.endswith("KeyboardInterrupt")
        assert (hub.server("carol", "easymlnb-slow-1") or {}).get("pending") == "spawn"
    finally:
        made.close()
    hub.wait_for(lambda: not hub.server("carol", "easymlnb-slow-1"), "the node was left in the Hub")
