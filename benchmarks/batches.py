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

import httpx
from common import HERE, TOKEN, easymlnb, publish

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
began = time.perf_counter()
for at in range(0, len(rows), size):
    model.predict(rows[at : at + size])
print(len(rows) / (time.perf_counter() - began))
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


def bare(file: Path, size: int) -> float:
    """Return the rows per second of a loop that calls the model, in a process of its own."""
    command = [sys.executable, "-c", BARE, str(file), str(size)]
    done = subprocess.run(command, cwd=HERE / "peers", capture_output=True, text=True, check=True)
    return float(done.stdout)


def batch(url: str, data: bytes, rows: int) -> float:
    """Return the rows per second from the submission of a batch to its end."""
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
    return rows / seconds


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
    ratios = [2 * one / (a + b) for one, a, b in zip(ours, loops, loops[1:], strict=False)]
    print("bare loop, rows/s:", ", ".join(f"{loop:,.0f}" for loop in loops))
    print(f"batches of {given.rows:,} rows between them:", ", ".join(f"{one:,.0f}" for one in ours))
    print(f"of the loops before and after it, median: {median(ratios):.2f}")


if __name__ == "__main__":
    main()
