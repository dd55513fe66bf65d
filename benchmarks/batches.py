"""Batches: rows per second of a table through the forest, and of bare loops over its rows.

One loop has the rows in memory and drops the results; the other is the script that a batch
replaces: it reads the table and writes it again with the results. All are measured in turns,
because the speed of a shared machine changes.
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

@ml.service(name="forest", workers={workers}, batch=ml.Batch(max_size={size}))
def batched(x: ml.Batched[list[float]]) -> list[float]:
    return model.predict(x)
"""

LOOP = """
import csv, json, os, sys, time
from models import forest

model, size, whole = forest(), int(sys.argv[2]), sys.argv[3:] == ["whole"]

def read():
    with open(sys.argv[1]) as file:
        return [json.loads(row["x"]) for row in csv.DictReader(file)]

rows = read()
model.predict(rows[:size])
began, busy = time.perf_counter(), time.process_time()
if whole:
    rows = read()
found = [model.predict(rows[at : at + size]) for at in range(0, len(rows), size)]
if whole:
    with open(sys.argv[1] + ".out", "w") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "result"])
        results = (float(one) for part in found for one in part)
        writer.writerows([json.dumps(row), one] for row, one in zip(rows, results))
        file.flush()
        os.fsync(file.fileno())
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


def loop(file: Path, size: int, *more: str) -> Speed:
    """Return the speed of a loop in its own process; with ``"whole"`` it reads and writes, too."""
    command = [sys.executable, "-c", LOOP, str(file), str(size), *more]
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
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="Batches, each between two loops.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "table.csv"
        file.write_text(table(given.rows))
        with easymlnb(folder) as url:
            models = (HERE / "peers" / "models.py").read_text()
            publish(
                url, SOURCE.format(models=models, size=given.size, workers=given.workers), "forest"
            )
            batch(url, table(given.size).encode(), given.size)
            bare, scripts, ours = [loop(file, given.size)], [], []
            for _ in range(given.rounds):
                scripts.append(loop(file, given.size, "whole"))
                ours.append(batch(url, file.read_bytes(), given.rows))
                bare.append(loop(file, given.size))
    print(f"batches of {given.rows:,} rows, each between loops:")
    for name, speeds in (("bare loops", bare), ("scripts", scripts), ("batches", ours)):
        rows = ", ".join(f"{speed.rows:,.0f}" for speed in speeds)
        busy = ", ".join(f"{speed.busy:.0f}" for speed in speeds)
        print(f"  {name}: {rows} rows/s; processor time per row: {busy} us")
    pairs = [*zip(ours, bare, bare[1:], strict=False)]
    speed = median(2 * one.rows / (a.rows + b.rows) for one, a, b in pairs)
    busy = median(2 * one.busy / (a.busy + b.busy) for one, a, b in pairs)
    whole = median(one.rows / other.rows for one, other in zip(ours, scripts, strict=True))
    print(f"a batch in relation to its bare loops, median: {speed:.2f} of the rows per second,")
    print(f"  {busy:.2f} times the processor time per row")
    print(f"in relation to the script that reads and writes: {whole:.2f} of the rows per second")


if __name__ == "__main__":
    main()
