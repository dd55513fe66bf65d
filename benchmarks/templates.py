"""Fifty models without code of one author: how many workers serve them, and how fast.

    python benchmarks/templates.py [--models 50] [--calls 200]

Each is a small regression. Every model is called in turn, so that the workers
load each of them; then one model is called again and again.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import easymlnb as ml
from support.invariants import workers
from support.server import RunningServer, running_server

DATA = "area,rooms,price\n" + "".join(
    f"{40 + n},{n % 5 + 1},{3000 * n + n * 7919 % 9000}\n" for n in range(60)
)
ROW = {"area": 60, "rooms": 2}


def make(client: ml.Client, count: int, file: Path) -> None:
    """Train the models one after the other."""
    choices: dict[str, Any] = {"target": "price", "algorithm": "linear", "folds": 2}
    for number in range(count):
        began = time.perf_counter()
        made = client.templates.create(f"model_{number}", file, **choices)
        client.jobs[made["training"]["id"]].result()
        if number in (0, 1, count - 1):
            print(f"model {number + 1}: {time.perf_counter() - began:.2f} s from file to version")


def measure(server: RunningServer, client: ml.Client, count: int, calls: int) -> None:
    """Call all models, then one, and print what that takes."""
    began = time.perf_counter()
    for number in range(count):
        client.templates.predict(f"model_{number}", [ROW])
    print(
        f"first calls of {count} models: {(time.perf_counter() - began) / count * 1e3:.0f} ms each"
    )
    found = workers(server)
    print(f"worker processes, with those of jobs: {len(found)}")
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        client.templates.predict("model_0", [ROW])
        times.append((time.perf_counter() - began) * 1e3)
    p99 = sorted(times)[int(0.99 * len(times)) - 1]
    print(f"one model: p50 {statistics.median(times):.1f} ms, p99 {p99:.1f} ms")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.csv"
        file.write_text(DATA)
        with (
            running_server(Path(folder)) as server,
            ml.connect(server.url, token=server.token) as client,
        ):
            make(client, options.models, file)
            measure(server, client, options.models, options.calls)


if __name__ == "__main__":
    main()
