"""Nodes that are other hosts: by name, by address, and by cables that can be pulled.

Server and workers run on nodes of a Slurm cluster that reach the Hub's proxy, but not each other.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from support.hub.hub import Hub, User
from support.hub.kernels import Console, Ran
from support.hub.networks import Network
from support.hub.slurm import Cluster
from support.hub.terminal import command
from support.notebooks import make_notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WHERE = """
import os, socket, time
import easymlnb as ml

@ml.service(placement="gpu")
def where(seconds: float = 0.0) -> dict:
    time.sleep(seconds)
    return {"host": socket.gethostname(), "gpu": os.environ["CUDA_VISIBLE_DEVICES"]}

@ml.service(placement="gpu", timeout=4)
def reaches(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 2).close()
    except OSError:
        return False
    return True
"""
HOST = "import socket; print(socket.gethostname())"
COUNTS = """
import time
for number in range(40):
    print(number, flush=True)
    time.sleep(0.2)
"""
MOMENT = 3.0
"""Seconds of interruption that TCP survives without help."""


@pytest.fixture(scope="module")
def alice(far_hub: Hub, far_cluster: Cluster) -> Iterator[User]:
    made = far_hub.serve("alice")
    installed = command(made, "placement", "install", "gpu")
    assert installed.returncode == 0, installed.stderr
    yield made
    for name in list(far_hub.servers("alice")):
        far_hub.stop_server("alice", name)
    far_hub.wait_for(lambda: not far_cluster.jobs(), "jobs were left in the queue")


@pytest.fixture(scope="module")
def service(alice: User, tmp_path_factory: pytest.TempPathFactory) -> User:
    """Somebody whose notebook is published, with its worker on the first node with a GPU."""
    path = tmp_path_factory.mktemp("published") / "where.ipynb"
    found = alice.publish(make_notebook(WHERE), path)
    assert found["state"] == "ready", found.get("error")
    return alice


def host_of(hub: Hub, cluster: Cluster, name: str) -> str:
    """Return the node that a server of alice runs on, as Slurm says."""
    job = (hub.server("alice", name) or {})["state"]["job_id"]
    return cluster.run("squeue", "-h", "-j", str(job), "-o", "%N").strip()


def test_worker_is_on_another_host_and_reaches_the_proxy_only(
    far_hub: Hub, far_cluster: Cluster, network: Network, service: User
) -> None:
    assert host_of(far_hub, far_cluster, "") == "cpu1"
    host = host_of(far_hub, far_cluster, "easymlnb-gpu-1")
    assert service.call("where").json() == {"host": host, "gpu": "0"}
    proxy, own = far_hub.ports[0], httpx.URL((far_hub.server("alice") or {})["full_url"])
    assert service.call("reaches", address=network.address, port=proxy).json() is True
    assert service.call("reaches", address="127.0.0.1", port=proxy).json() is False
    assert own.host == network.address
    cpu1 = network.address_of("cpu1")
    assert service.call("reaches", address=cpu1, port=22).json() is False


def test_calls_and_cells_wait_for_a_cable_that_is_pulled_for_a_moment(
    far_hub: Hub, far_cluster: Cluster, network: Network, service: User
) -> None:
    console = Console(service, "easymlnb-gpu")
    try:
        far = console.run(HOST).text.strip()
        hosts = {far, host_of(far_hub, far_cluster, "easymlnb-gpu-1")}
        running = console.begin(COUNTS)
        console.first(running)
        with ThreadPoolExecutor() as threads:
            calls = [threads.submit(service.call, "where", seconds=2.0) for _ in range(3)]
            time.sleep(1)  # the first of them runs, the others wait
            with_cables_pulled(network, hosts, MOMENT)
            answers = [call.result() for call in calls]
        assert [answer.status_code for answer in answers] == [200] * 3, answers[0].text
        assert console.end(running, ran=Ran()).status == "ok"
        assert console.run(HOST) == Ran("ok", f"{far}\n")
    finally:
        console.close()


def with_cables_pulled(network: Network, hosts: set[str], seconds: float) -> None:
    for host in hosts:
        network.cut(host)
    try:
        time.sleep(seconds)
    finally:
        for host in hosts:
            network.heal(host)


def test_a_node_behind_a_pulled_cable_is_replaced_and_leaves_nothing(
    far_hub: Hub, far_cluster: Cluster, network: Network, service: User
) -> None:
    before = host_of(far_hub, far_cluster, "easymlnb-gpu-1")
    began = service.call("where").json()
    assert began["host"] == before
    network.cut(before)
    try:
        # A call that was sent there ends by its own time, and says so.
        lost = service.call("reaches", address=network.address, port=1)
        assert (lost.status_code, lost.json()["error"]["code"]) == (504, "deadline_exceeded")

        def elsewhere() -> dict[str, Any] | None:
            answer = service.call("where")
            told: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
            return told if told.get("host") not in (None, before) else None

        far_hub.wait_for(elsewhere, "the worker was not replaced")
    finally:
        network.heal(before)

    def alone() -> bool:
        try:
            carried = [service.kernels(name) for name in far_hub.servers("alice") if name]
        except (httpx.TransportError, ValueError, KeyError):
            return False  # one of them has only just been reached again, or is just ending
        return sum(map(len, carried)) == 1

    far_hub.wait_for(alone, "the first worker was left behind", 240)
