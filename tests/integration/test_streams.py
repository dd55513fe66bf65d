"""Streams of a generator: events, lines or an array, and the end of one whose caller leaves."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.notebooks import make_notebook
from support.server import RunningServer

SERVICES = """
import asyncio, os, time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
import easymlnb as ml

@ml.service(timeout=60)
def stream_count(
    n: int, pause: float = 0.0, marker: str = "", fails: bool = False
) -> Iterator[int]:
    try:
        for number in range(n):
            ml.progress((number + 1) / n, f"at {number}")
            yield number
            time.sleep(pause)
        if fails:
            raise ValueError("secret")
    finally:
        if marker:
            Path(marker).write_text("closed")

@ml.service(timeout=60)
async def stream_async(n: int, marker: str = "") -> AsyncIterator[int]:
    try:
        for number in range(n):
            yield number
            await asyncio.sleep(0.01)
    finally:
        if marker:
            Path(marker).write_text("closed")

@ml.service(timeout=60)
def stream_progress(steps: int, pause: float) -> int:
    for number in range(steps):
        ml.progress(number / steps, f"step {number}")
        time.sleep(pause)
    return steps

@ml.service
def stream_free() -> int:
    return 1

@ml.service(timeout=60)
def stream_pids() -> Iterator[int]:
    while True:
        yield os.getpid()
        time.sleep(0.05)
"""

EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def http(session_server: RunningServer) -> Iterator[httpx.Client]:
    found = session_server.publish(make_notebook(SERVICES), "streams.ipynb")
    assert found["state"] == "ready", found
    yield session_server.http


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize("name", ["stream_count", "stream_async"])
def test_items_as_events(http: httpx.Client, name: str) -> None:
    values = {"n": 4}
    with http.stream("POST", f"services/{name}/call", json=values, headers=EVENTS) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        found = list(events(answer.iter_lines()))
    assert [data for name, data in found if name == "item"] == [0, 1, 2, 3]
    assert found[-1] == ("result", None)


def test_items_as_lines(http: httpx.Client) -> None:
    answer = http.post("services/stream_count/call", json={"n": 3})
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert answer.text == "0\n1\n2\n"


def test_items_as_an_array(http: httpx.Client) -> None:
    headers = {"Accept": "application/json"}
    for n in (0, 3):
        answer = http.post("services/stream_count/call", json={"n": n}, headers=headers)
        assert (answer.status_code, answer.json()) == (200, list(range(n)))


def test_items_come_before_the_end(http: httpx.Client, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    values = {"n": 1000, "pause": 0.1, "marker": str(marker)}
    with http.stream("POST", "services/stream_count/call", json=values) as answer:
        assert next(answer.iter_lines()) == "0"
        assert not marker.exists()


@pytest.mark.parametrize("name", ["stream_count", "stream_async"])
@pytest.mark.parametrize("headers", [EVENTS, {}, {"Accept": "application/json"}])
def test_caller_who_leaves_closes_the_generator(
    http: httpx.Client, session_server: RunningServer, tmp_path: Path, name: str, headers: Any
) -> None:
    marker = tmp_path / "marker"
    whole = headers == {"Accept": "application/json"}  # it comes at the end: until then, nothing
    values: dict[str, Any] = {"n": 3000, "marker": str(marker)}
    if name == "stream_count":
        values["pause"] = 0.01
    try:
        with http.stream(
            "POST",
            f"services/{name}/call",
            json=values,
            headers=headers,
            timeout=3 if whole else 60,
        ) as answer:
            lines = answer.iter_lines()
            while "2" not in next(lines).removeprefix("data: "):
                pass  # its place in line comes first, should it have to wait
    except httpx.ReadTimeout:
        assert whole
    session_server.wait_for(marker.exists, "the generator was not closed")
    assert http.post("services/stream_free/call", json={}).json() == 1


def test_failure_in_the_middle(http: httpx.Client) -> None:
    values = {"n": 2, "fails": True}
    answer = http.post("services/stream_count/call", json=values)
    *items, last = answer.text.splitlines()
    assert (answer.status_code, items) == (200, ["0", "1"])
    assert json.loads(last)["error"]["code"] == "call_failed"
    answer = http.post("services/stream_count/call", json=values, headers=EVENTS)
    assert list(events(answer.iter_lines()))[-1][1]["error"]["code"] == "call_failed"
    whole = {"Accept": "application/json"}
    answer = http.post("services/stream_count/call", json=values, headers=whole)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "call_failed")
    assert "secret" not in answer.text


@pytest.mark.parametrize("headers", [EVENTS, {}])
def test_worker_killed_in_the_middle(http: httpx.Client, headers: dict[str, str]) -> None:
    with http.stream("POST", "services/stream_pids/call", json={}, headers=headers) as answer:
        lines = answer.iter_lines()
        first = next(line for line in lines if line.removeprefix("data: ").isdecimal())
        os.kill(int(first.removeprefix("data: ")), signal.SIGKILL)
        *_, last = [line for line in lines if line]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "worker_lost"
    assert http.post("services/stream_free/call", json={}, timeout=60).json() == 1


def test_bad_input_of_a_stream(http: httpx.Client) -> None:
    assert http.post("services/stream_count/call", json={"n": "x"}).status_code == 422
    answer = http.post("services/stream_count/call", json={"n": "x"}, headers=EVENTS)
    assert (answer.status_code, list(events(answer.iter_lines()))[-1][0]) == (200, "error")


def test_progress_of_a_plain_function(http: httpx.Client) -> None:
    values = {"steps": 4, "pause": 0.1}
    answer = http.post("services/stream_progress/call", json=values, headers=EVENTS)
    found = list(events(answer.iter_lines()))
    fractions = [data["fraction"] for name, data in found if name == "progress"]
    assert fractions == sorted(fractions)
    assert len(fractions) >= 2
    assert found[-1] == ("result", 4)


def test_caller_of_events_who_leaves_stops_the_function(http: httpx.Client) -> None:
    values = {"steps": 500, "pause": 0.1}
    with http.stream(
        "POST", "services/stream_progress/call", json=values, headers=EVENTS
    ) as answer:
        next(events(answer.iter_lines()))
    # One worker: it is free long before the 50 s of that call are over.
    assert http.post("services/stream_free/call", json={}, timeout=25).json() == 1
    assert http.get("services/stream_progress/log").json()["entries"][-1]["status"] == 503


def test_deadline_of_a_stream(http: httpx.Client, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    values = {"n": 1000, "pause": 0.05, "marker": str(marker)}
    answer = http.post("services/stream_count/call", json=values, headers={"X-Timeout": "2"})
    assert json.loads(answer.text.splitlines()[-1])["error"]["code"] == "deadline_exceeded"
    assert http.post("services/stream_free/call", json={}).json() == 1
    assert marker.exists()
