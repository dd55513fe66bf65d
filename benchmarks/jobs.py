"""Jobs: rows added and claimed per second next to bare INSERTs, and a no-op from end to end."""

import argparse
import contextlib
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import httpx
import psycopg
from common import TOKEN, easymlnb, publish

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from easymlnb_server.jobs import rules
from easymlnb_server.jobs.models import Job, JobInput, new_id
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.store.store import Store
from support.postgres import running

SOURCE = """
import easymlnb as ml

@ml.service
def noop(x: float) -> float:
    return x
"""


def rate(count: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(count):
        work()
    return count / (time.perf_counter() - began)


def bare_insert(url: str, folder: Path, count: int) -> float:
    """Return INSERTs per second in transactions of their own, with the same durability."""
    connection: sqlite3.Connection | psycopg.Connection
    if url:
        connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        insert, key = "INSERT INTO t (text) VALUES (%s)", "BIGSERIAL"
    else:
        connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        insert, key = "INSERT INTO t (text) VALUES (?)", "INTEGER"
    with contextlib.closing(connection):
        connection.execute(f"CREATE TABLE t (id {key} PRIMARY KEY, text TEXT)")
        return rate(count, lambda: connection.execute(insert, ("x" * 500,)))


def new_job() -> Job:
    input = JobInput(file="0" * 64)
    names = {"service": "noop", "version": "1", "bundle": "b" * 64, "author": "ann"}
    return Job(id=new_id(), owner="user ann", lane="jobs", input=input, **names)


def rows(store: Store, count: int, queued: int) -> tuple[float, float, float]:
    """Return how many jobs are added, claimed and ended per second, with ``queued`` waiting."""
    repository = JobRepository(store.database)
    for _ in range(queued):
        repository.add(new_job())
    added = rate(count, lambda: repository.add(new_job()))
    claimed: list[Job] = []
    claims = rate(count, lambda: claimed.extend(repository.claim("jobs", "me", 1, time.time())))
    jobs = iter(claimed)

    def end() -> None:
        job = next(jobs)
        repository.apply(job, rules.succeed(job, {"result": "0" * 64}, time.time()))

    return added, claims, rate(count, end)


def end_to_end(folder: Path, count: int) -> list[float]:
    """Return the seconds from submitting a no-op to its result, with a warm kernel."""
    headers = {"Authorization": f"token {TOKEN}"}
    seconds = []
    with easymlnb(folder) as url:
        publish(url, SOURCE, "noop")
        with httpx.Client(base_url=url, headers=headers, timeout=120) as client:
            for _ in range(count + 1):
                began = time.perf_counter()
                wait = {"Prefer": "wait=60"}
                answer = client.post("services/noop/call", json={"x": 1}, headers=wait)
                assert answer.json() == 1.0, answer.text
                seconds.append(time.perf_counter() - began)
    return seconds[1:]  # the first one starts the kernel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--queued", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sqlite").mkdir()
        with running(fsync=True) as postgres:
            for kind, url in (("SQLite", ""), ("PostgreSQL", postgres.create())):
                store = Store.open(url, folder / kind)
                bare = bare_insert(url, folder, given.count)
                figures = rows(store, given.count, given.queued)
                store.close()
                words = ("added", "claimed", "ended")
                print(f"{kind}, {given.queued} queued: bare INSERT {bare:.0f} /s")
                for word, figure in zip(words, figures, strict=True):
                    print(f"  {word:8} {figure:5.0f} /s, {figure / bare:.2f} of the bare INSERT")
        seconds = sorted(end_to_end(folder / "sqlite", 40))
        p95 = seconds[int(0.95 * len(seconds))]
        print(f"no-op, warm kernel: p50 {1000 * median(seconds):.0f} ms, p95 {1000 * p95:.0f} ms")


if __name__ == "__main__":
    main()
