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
from common import TOKEN, Caller, easymlnb, publish, service
from msgspec.structs import replace
from sqlalchemy import Connection, delete

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from easymlnb_server.jobs import rules
from easymlnb_server.jobs.models import Job, JobInput, new_id
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.rows import add_row
from easymlnb_server.store.store import Store
from easymlnb_server.store.tables import jobs
from support.postgres import running

SOURCE = """
import time
import easymlnb as ml
import numpy

@ml.service
def noop(x: float) -> float:
    return x

@ml.service
def pause(seconds: float) -> None:
    time.sleep(seconds)

@ml.service
def fit(seconds: float) -> float:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        numpy.linalg.svd(numpy.random.default_rng(0).random((400, 400)))
    return seconds
"""

QUEUED = jobs.c.state == "queued"


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


def rows(store: Store, count: int, queued: int) -> tuple[float, float, float, float]:
    """Return how many jobs are added, claimed and ended per second, with ``queued`` waiting.

    The last figure is the p99 of a claim in seconds.
    """
    repository = JobRepository(store.database)
    store.database.write(lambda connection: fill(connection, queued, "user ann", "jobs"))
    added = rate(count, lambda: repository.add(new_job()))
    claimed: list[Job] = []
    seconds: list[float] = []

    def claim() -> None:
        began = time.perf_counter()
        claimed.extend(repository.claim("jobs", "me", 1, time.time()))
        seconds.append(time.perf_counter() - began)

    claims = rate(count, claim)
    rest = iter(claimed)

    def end() -> None:
        job = next(rest)
        repository.apply(job, rules.succeed(job, {"result": "0" * 64}, time.time()))

    return added, claims, rate(count, end), sorted(seconds)[int(0.99 * count)]


def end_to_end(folder: Path, count: int) -> list[float]:
    """Return the seconds from submitting a no-op to its result, with a warm kernel."""
    headers = {"Authorization": f"token {TOKEN}"}
    seconds = []
    with easymlnb(folder) as url:
        publish(url, SOURCE, "noop")
        with httpx.Client(base_url=url, headers=headers, timeout=120) as client:
            for _ in range(count + 1):
                began = time.perf_counter()
                id = client.post("services/noop/jobs", json={"x": 1}).json()["id"]
                client.get(f"jobs/{id}", params={"wait": 60})
                answer = client.get(f"jobs/{id}/result")
                assert answer.json() == 1.0, answer.text
                seconds.append(time.perf_counter() - began)
    return seconds[1:]  # the first one starts the kernel


def beside_jobs(folder: Path, calls: int, queued: int, rounds: int = 3) -> tuple[float, float]:
    """Return the median seconds of a plain call without jobs, and with ``queued`` of them.

    Both are measured in turns; the jobs wait for one that fills their lane.
    """
    headers = {"Authorization": f"token {TOKEN}"}
    database = folder / "data" / "easymlnb"
    without: list[float] = []
    among: list[float] = []
    with easymlnb(folder) as url, httpx.Client(base_url=url, headers=headers, timeout=120) as http:
        publish(url, SOURCE, "noop")
        caller = Caller(service(url, "noop", [b'{"x": 1}']))
        caller.times(calls)
        longest = http.post("services/pause/jobs?lane=train", json={"seconds": 3600}).json()
        while http.get(f"jobs/{longest['id']}").json()["state"] != "running":
            time.sleep(0.1)
        for _ in range(rounds):
            without += caller.times(calls)
            store = Store.open("", database)
            store.database.write(
                lambda connection: fill(connection, queued, "user", "train"), lock=False
            )
            time.sleep(3)  # the disk writes what was added
            among += caller.times(calls)
            assert (
                http.get("jobs", params={"state": "queued", "limit": 1}).json()["total"] == queued
            )
            store.database.write(lambda connection: connection.execute(delete(jobs).where(QUEUED)))
            store.close()
        http.post(f"jobs/{longest['id']}/cancel")
    return median(without), median(among)


def during_training(folder: Path, calls: int, rounds: int = 3) -> tuple[float, float]:
    """Return the p95 of a plain call with the train lane empty, and full, in turns."""
    headers = {"Authorization": f"token {TOKEN}"}
    alone: list[float] = []
    busy: list[float] = []
    with easymlnb(folder) as url, httpx.Client(base_url=url, headers=headers, timeout=120) as http:
        publish(url, SOURCE, "noop")
        caller = Caller(service(url, "noop", [b'{"x": 1}']))
        caller.times(calls)
        for _ in range(rounds):
            alone += caller.times(calls)
            job = http.post("services/fit/jobs?lane=train", json={"seconds": 600}).json()
            while http.get(f"jobs/{job['id']}").json()["state"] != "running":
                time.sleep(0.1)
            busy += caller.times(calls)
            http.post(f"jobs/{job['id']}/cancel")
            http.get(f"jobs/{job['id']}", params={"wait": 60})
    return p95(alone), p95(busy)


def p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.95 * len(seconds))]


def fill(connection: Connection, count: int, owner: str, lane: str) -> None:
    """Add queued jobs in one transaction."""
    for _ in range(count):
        add_row(connection, replace(new_job(), owner=owner, lane=lane), False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--queued", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sqlite").mkdir()
        with running(fsync=True) as postgres:
            for kind, url in (("SQLite", ""), ("PostgreSQL", postgres.create())):
                store = Store.open(url, folder / kind)
                bare = bare_insert(url, folder, given.count)
                *figures, claim = rows(store, given.count, given.queued)
                store.close()
                words = ("added", "claimed", "ended")
                print(f"{kind}, {given.queued} queued: bare INSERT {bare:.0f} /s")
                for word, figure in zip(words, figures, strict=True):
                    print(f"  {word:8} {figure:5.0f} /s, {figure / bare:.2f} of the bare INSERT")
                print(f"  p99 of a claim {1000 * claim:.1f} ms")
        (folder / "calls").mkdir()
        before, after = beside_jobs(folder / "calls", 2000, given.queued)
        print(
            f"plain call: p50 {1000 * before:.3f} ms, with {given.queued} jobs queued "
            f"{1000 * after:.3f} ms, ratio {after / before:.3f}"
        )
        (folder / "training").mkdir()
        before, after = during_training(folder / "training", 1000)
        print(
            f"plain call: p95 {1000 * before:.2f} ms, with the train lane full "
            f"{1000 * after:.2f} ms, ratio {after / before:.2f}"
        )
        seconds = end_to_end(folder / "sqlite", 40)
        print(
            f"no-op, stored first, warm kernel: p50 {1000 * median(seconds):.0f} ms, "
            f"p95 {1000 * p95(seconds):.0f} ms"
        )


if __name__ == "__main__":
    main()
