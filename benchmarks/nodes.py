"""What a node of a JupyterHub costs: calls of a worker there against one here, cells, a start.

Starts a real Hub with its proxy on a real Slurm whose nodes are hosts of their own, as far as
network namespaces make them (as root, with the packages that ``tests/hub`` needs); elsewhere all
are processes of one host. Everything goes through the proxy and is measured in turns, so that
differences and ratios hold on a busy machine too.

    python benchmarks/nodes.py [--seconds 3] [--rounds 5]
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import nbformat
from common import Caller, Peer
from lean import Kernel
from load import GENERATOR, rate

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.hub import networks, slurm  # noqa: E402
from support.hub.hub import Hub, User, free_ports  # noqa: E402
from support.hub.networks import Network  # noqa: E402
from support.hub.slurm import Cluster  # noqa: E402

SOURCE = """
import easymlnb as ml

@ml.service(placement="{place}")
def {name}(x: int = 1) -> int:
    return x + 1
"""
CONNECTIONS = 64
CELLS = 50
CALLS = 50
"""Runs in a row of one of those that are compared, before it is the other's turn."""

NODE = "easymlnb-gpu-1"


@contextmanager
def hub() -> Iterator[Hub]:
    """Run a Hub, its servers on hosts of their own where this machine can have them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        variables = {}
        why = networks.refusal() or ("" if slurm.installed() else "Slurm is not installed.")
        if why:
            print(f"Nodes are processes of one host. {why}")
        else:
            network = Network(list(slurm.NODES))
            stack.callback(network.stop)
            network.start()
            (folder / "slurm").mkdir()
            cluster = Cluster(folder / "slurm", free_ports(1)[0], network)
            stack.callback(cluster.stop)
            cluster.start()
            variables = cluster.variables
        (folder / "hub").mkdir()
        made = Hub(folder / "hub", variables)
        stack.callback(made.stop)
        made.start()
        yield made


def publish(user: User, name: str, place: str) -> None:
    cell = nbformat.v4.new_code_cell(SOURCE.format(place=place, name=name), id="one")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    found = user.publish(notebook, user.hub.folder / f"{name}.ipynb")
    assert found["state"] == "ready", found


def peer(user: User, name: str) -> Peer:
    headers = {"Content-Type": "application/json", **user.headers}
    return Peer(f"{user.url}easymlnb/services/{name}/call", [b'{"x": 1}'], headers)


def waking(user: User, rounds: int) -> None:
    """Measure from the Hub's word that a node is ready to the first answer of a new service."""
    late = []
    for number in range(rounds):
        ready: list[float] = []
        done = threading.Event()
        watch = threading.Thread(target=_watch, args=(user, ready, done))
        watch.start()
        began = time.perf_counter()
        try:
            publish(user, f"woken{number}", "gpu")
            assert user.call(f"woken{number}", x=1).json() == 2
            answered = time.perf_counter()
        finally:
            done.set()
            watch.join()
        late.append(answered - ready[0])
        print(f"publish to first answer {answered - began:.2f} s, {late[-1]:.2f} s after the node")
        user.http.delete(f"services/woken{number}").raise_for_status()
        user.hub.stop_server(user.name, NODE)
    print(f"first answer after the node is ready: {median(late):.2f} s")


def _watch(user: User, ready: list[float], done: threading.Event) -> None:
    """Note when the Hub first says that the node is ready."""
    while not done.wait(0.02):
        if (user.hub.server(user.name, NODE) or {}).get("ready"):
            ready.append(time.perf_counter())
            return


def calls(user: User, seconds: float, rounds: int) -> None:
    """Measure calls to a worker here and to one there, by one connection and by many."""
    peers = {name: peer(user, name) for name in ("here", "there")}
    callers = {name: Caller(one) for name, one in peers.items()}
    took: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds * 4):
        for name, caller in callers.items():
            took[name] += caller.times(CALLS)
    a, b = (median(took[name]) * 1000 for name in peers)
    print(f"call, one connection, p50: here {a:.2f} ms, there {b:.2f} ms, {b - a:+.2f} ms")
    ratios = []
    for _ in range(rounds):
        a, b = (rate(one, CONNECTIONS, seconds) for one in peers.values())
        ratios.append(b / a)
        print(f"calls/s, {CONNECTIONS} connections ({GENERATOR}): {a:.0f}, {b:.0f}, {b / a:.2f}")
    print(f"calls/s there to here: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def cells(user: User, rounds: int) -> None:
    """Measure cells of a kernel here and of one there, with their reply and all their messages."""
    folder = user.hub.folder / f"homes/{user.name}/.local/share/jupyter/kernels/node"
    folder.mkdir(parents=True)
    config = {"placement": "gpu", "profile": {"profile": "gpu", "max_workers": 3}}
    told = {"provisioner_name": "easymlnb-hub", "config": config}
    spec = {"argv": [], "display_name": "node", "language": "python"}
    spec["metadata"] = {"kernel_provisioner": told}
    (folder / "kernel.json").write_text(json.dumps(spec))
    with ExitStack() as stack:
        kernels = {}
        for name, kind in (("here", "python3"), ("there", "node")):
            kernels[name] = Kernel(user.url, user.headers, kind)
            stack.callback(kernels[name].close)
        took: dict[str, list[float]] = {name: [] for name in kernels}
        for turn in range(rounds * 4 + 1):
            for name, kernel in kernels.items():
                for _ in range(CELLS):
                    began = time.perf_counter()
                    kernel.run("1")
                    if turn:  # the first turn warms up
                        took[name].append(time.perf_counter() - began)
    a, b = (median(took[name]) * 1000 for name in kernels)
    print(f"cell, p50: here {a:.2f} ms, there {b:.2f} ms, {b - a:+.2f} ms")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    with hub() as running:
        user = running.serve("alice")
        waking(user, 3)
        publish(user, "here", "local")
        publish(user, "there", "gpu")
        calls(user, given.seconds, given.rounds)
        cells(user, given.rounds)


if __name__ == "__main__":
    main()
