"""Batches: rows per second of a table through the forest, and of a bare loop over its rows.

Both are measured in turns, because the speed of a shared machine changes.
"""

import argparse
import csv
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx
from common import HERE, TOKEN, easymlnb, publish, workers

COLUMNS = 20

SOURCE = """
import easymlnb as ml

{models}

model = forest()

@ml.service(name="forest", batch=ml.Batch(max_size={size}))
def batched(x: ml.Batched[list[float]]) -> list[float]:
    return model.predict(x)
"""

BARE = """
import csv, json, sys, time
from models import forest

model, size = forest(), int(sys.argv[2])
with open(sys.argv[1]) as file:
    rows = [json.loads(row["x"]) for row in csv.DictReader(file)]
model.predict(rows[:size])
began, busy = time.perf_counter(), time.process_time()
for at in range(0, len(rows), size):
    model.predict(rows[at : at + size])
print(len(rows) / (time.perf_counter() - began), 1e6 * (time.process_time() - busy) / len(rows))
"""


def table(rows: int) -> str:
    """Return a CSV with a column of lists."""
    chance = random.Random(0)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["x"])
    for _ in range(rows):
        writer.writerow([json.dumps([round(chance.gauss(0, 1), 6) for _ in range(COLUMNS)])])
    return text.getvalue()


class Speed(NamedTuple):
    """Rows per second, and microseconds of processor time for each row."""

    rows: float
    busy: float


def bare(file: Path, size: int) -> Speed:
    """Return the speed of a loop that calls the model, in a process of its own."""
    command = [sys.executable, "-c", BARE, str(file), str(size)]
    done = subprocess.run(command, cwd=HERE / "peers", capture_output=True, text=True, check=True)
    return Speed(*map(float, done.stdout.split()))


def worker_time(url: str) -> float:
    """Return the seconds of processor time that the workers took so far."""
    times = [worker.cpu_times() for worker in workers(url)]
    return sum(one.user + one.system for one in times)


def batch(url: str, data: bytes, rows: int) -> Speed:
    """Return the speed from the submission of a batch to its end; ``busy`` is the workers'."""
    busy = worker_time(url)
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": "text/csv"}
    with httpx.Client(base_url=url, headers=headers, timeout=300) as client:
        began = time.perf_counter()
        answer = client.post("services/forest/batches", content=data)
        id = answer.json()["id"]
        while (job := client.get(f"jobs/{id}", params={"wait": 60}).json())["ended"] is None:
            print(f"  {job['progress_text']}", file=sys.stderr)
        seconds = time.perf_counter() - began
        assert job["state"] == "succeeded", job
        result = client.get(f"jobs/{id}/result").text
        assert result.count("\n") == rows + 1, "rows were lost"
    return Speed(rows / seconds, 1e6 * (worker_time(url) - busy) / rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64, help="Largest number of rows in one run.")
    parser.add_argument("--rounds", type=int, default=3, help="Batches, each between two loops.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "table.csv"
        file.write_text(table(given.rows))
        with easymlnb(folder) as url:
            models = (HERE / "peers" / "models.py").read_text()
            publish(url, SOURCE.format(models=models, size=given.size), "forest")
            batch(url, table(given.size).encode(), given.size)
            loops, ours = [bare(file, given.size)], []
            for _ in range(given.rounds):
                ours.append(batch(url, file.read_bytes(), given.rows))
                loops.append(bare(file, given.size))
    print(f"batches of {given.rows:,} rows, each between two loops:")
    for name, speeds in (("loops", loops), ("batches", ours)):
        rows = ", ".join(f"{speed.rows:,.0f}" for speed in speeds)
        busy = ", ".join(f"{speed.busy:.0f}" for speed in speeds)
        print(f"  {name}: {rows} rows/s; processor time per row: {busy} us")
    pairs = [*zip(ours, loops, loops[1:], strict=False)]
    speed = median(2 * one.rows / (a.rows + b.rows) for one, a, b in pairs)
    busy = median(2 * one.busy / (a.busy + b.busy) for one, a, b in pairs)
    print(f"a batch in relation to its loops, median: {speed:.2f} of the rows per second,")
    print(f"  {busy:.2f} times the processor time per row")


if __name__ == "__main__":
    main()
