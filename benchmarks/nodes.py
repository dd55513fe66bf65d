"""What a node of a JupyterHub costs: calls of a worker there against one here, cells there.

Starts a real Hub with its proxy and plain processes (as ``tests/hub`` does), publishes one function
twice, and measures both in turns through the proxy, so that the ratios hold on a busy machine too.

    python benchmarks/nodes.py [--seconds 5]
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import nbformat

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from hub.consoles import Console  # noqa: E402
from hub.hubs import Hub, User  # noqa: E402

SOURCE = """
import easymlnb as ml

@ml.service(placement="{place}")
def {name}(x: int = 1) -> int:
    return x + 1
"""
CONNECTIONS = 64


def notebook(source: str) -> nbformat.NotebookNode:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id="one")])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    return made


def one_by_one(user: User, name: str, seconds: float) -> float:
    """Return the median of a call in milliseconds, over one connection."""
    took = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        assert user.call(name, x=1).json() == 2
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1000


async def many(user: User, name: str, seconds: float) -> float:
    """Return the calls per second over many connections."""
    done = 0
    until = time.perf_counter() + seconds
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    url = f"{user.url}easymlnb/services/{name}/call"
    async with httpx.AsyncClient(headers=user.headers, limits=limits, timeout=60) as http:

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() < until:
                answer = await http.post(url, json={"x": 1})
                done += answer.status_code == 200

        await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return done / seconds


def cells(user: User, spec: str, seconds: float) -> float:
    """Return the median of an execution in milliseconds, over JupyterLab's websocket."""
    console = Console(user, spec)
    try:
        console.run("1")
        took = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            start = time.perf_counter()
            console.run("1")
            took.append(time.perf_counter() - start)
        return statistics.median(took) * 1000
    finally:
        console.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5.0)
    seconds = options.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        hub = Hub(Path(folder))
        try:
            hub.start()
            user = hub.serve("alice")
            for name, place in (("here", "local"), ("there", "gpu")):
                source = notebook(SOURCE.format(place=place, name=name))
                start = time.perf_counter()
                found = user.publish(source, Path(folder) / f"{name}.ipynb")
                assert found["state"] == "ready", found
                print(f"{name}: published in {time.perf_counter() - start:.1f} s")
            for _ in range(3):
                a, b = (one_by_one(user, name, seconds / 2) for name in ("here", "there"))
                print(f"call, one connection: here {a:.2f} ms, there {b:.2f} ms, +{b - a:.2f} ms")
            for _ in range(3):
                a, b = (asyncio.run(many(user, name, seconds)) for name in ("here", "there"))
                print(f"calls/s, {CONNECTIONS} connections: {a:.0f}, {b:.0f}, ratio {b / a:.2f}")
            kernels = Path(folder) / "homes/alice/.local/share/jupyter/kernels/node"
            kernels.mkdir(parents=True)
            config = {"placement": "gpu", "spot": {"profile": "gpu", "max_workers": 3}}
            told = {"provisioner_name": "easymlnb-hub", "config": config}
            spec = {"argv": [], "display_name": "node", "language": "python"}
            spec["metadata"] = {"kernel_provisioner": told}
            (kernels / "kernel.json").write_text(json.dumps(spec))
            a, b = (cells(user, name, seconds) for name in ("python3", "node"))
            print(f"cell, p50: here {a:.2f} ms, there {b:.2f} ms")
        finally:
            hub.stop()


if __name__ == "__main__":
    main()
