"""Batched services over a real server and real kernels: many callers, one run of the function."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.kernels import NotebookKernel
from support.misbehaving import error
from support.notebooks import make_notebook
from support.server import RunningServer

SOURCE = """
import os, time
import easymlnb as ml
import numpy as np
from typing import Annotated, Any

sizes = {}

def hold(x):
    "The run of a 9 reports its start and lasts until the test releases it."
    if 9 in x:
        open(BEGUN, "w").close()
        while not os.path.exists(GO):
            time.sleep(0.01)

@ml.service(batch=ml.Batch(), examples=[{"x": 1}])
def double(x: ml.Batched[int]) -> list[int]:
    time.sleep(0.02)
    sizes.setdefault("double", []).append(len(x))
    if 13 in x:
        raise ValueError("13")
    return [2 * n for n in x]

@ml.service(batch=ml.Batch())
def short(x: ml.Batched[int]) -> list[int]:
    hold(x)
    time.sleep(0.3)
    return x[:-1] if len(x) > 1 else x

@ml.service(batch=ml.Batch())
def odd(x: ml.Batched[int]) -> list[Any]:
    hold(x)
    time.sleep(0.3)
    return [object() if n == 2 else n for n in x]

def nap(x):
    until = time.monotonic() + max(x)
    while time.monotonic() < until:
        time.sleep(0.01)
    return [len(x)] * len(x)

@ml.service(batch=ml.Batch(max_wait=0.3))
def slow(x: ml.Batched[float]) -> list[int]:
    return nap(x)

@ml.service(batch=ml.Batch(max_size=4, max_wait=20))
def four(x: ml.Batched[float]) -> list[int]:
    return nap(x)

@ml.service(batch=ml.Batch(max_size=4, max_wait=5, stack=True))
def norms(x: ml.Batched[Annotated[np.ndarray, ml.Array()]]) -> list[tuple[int, float]]:
    return [(len(x), float(n)) for n in np.linalg.norm(x, axis=1)]

@ml.service
def seen(name: str) -> list[int]:
    return sizes.get(name, [])
"""


def begun(server: RunningServer) -> Path:
    return server.folder / "begun"


def go(server: RunningServer) -> Path:
    return server.folder / "go"


def under_way(server: RunningServer, service: str, many: int) -> bool:
    stats = server.http.get(f"services/{service}").json()["stats"]
    return bool(stats["running"] + stats["waiting"] == many)


@pytest.fixture(scope="module")
def server(session_server: RunningServer) -> Iterator[RunningServer]:
    flags = {"BEGUN": begun(session_server), "GO": go(session_server)}
    source = SOURCE
    for name, path in flags.items():
        source = source.replace(name, repr(str(path)))
    found = session_server.publish(make_notebook(source), "batching.ipynb")
    assert found["state"] == "ready", found
    yield session_server
    for service in found["services"]:
        session_server.http.delete(f"services/{service['name']}")


def ask(server: RunningServer, service: str, **values: Any) -> httpx.Response:
    return server.http.post(f"services/{service}/call", json=values)


def ask_all(
    server: RunningServer, callers: ThreadPoolExecutor, service: str, values: list[Any]
) -> list[httpx.Response]:
    return list(callers.map(lambda value: ask(server, service, x=value), values))


def test_many_callers_each_with_their_own_answer(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    answers = ask_all(server, callers, "double", list(range(100, 356)))
    assert [answer.json() for answer in answers] == [2 * n for n in range(100, 356)]
    sizes = ask(server, "seen", name="double").json()
    assert sum(sizes) == 257  # and the example
    assert max(sizes) > 1
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 256


def test_callers_send_one_item(server: RunningServer) -> None:
    spec = server.http.get("services/double").json()
    assert spec["input"]["properties"]["x"]["type"] == "integer"
    assert spec["output"]["type"] == "integer"
    assert spec["examples"] == [{"x": 1}]
    assert spec["batch"] == {"max_size": 64, "max_wait": 0, "stack": False}


def test_bad_item_and_one_that_breaks_the_function(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    values = [1, "no", 2, 13, 3, 4, 5, 6]
    answers = ask_all(server, callers, "double", values)
    found = dict(zip(values, (answer.status_code for answer in answers), strict=True))
    assert (found.pop("no"), found.pop(13)) == (422, 500)
    assert set(found.values()) == {200}


def first_alone(
    server: RunningServer, callers: ThreadPoolExecutor, service: str, values: list[Any]
) -> list[httpx.Response]:
    """Keep the worker busy with one call, so that the others wait and go together."""
    first = callers.submit(ask, server, service, x=9)
    server.wait_for(begun(server).exists, "the first did not begin")
    answers = [callers.submit(ask, server, service, x=value) for value in values]
    try:
        server.wait_for(lambda: under_way(server, service, 1 + len(values)), "not all came")
    finally:
        go(server).touch()
    assert first.result(60).json() == 9
    found = [answer.result(60) for answer in answers]
    for file in (begun(server), go(server)):
        file.unlink()
    return found


def test_wrong_number_of_results_fails_the_whole_batch(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    answers = first_alone(server, callers, "short", [1, 2, 3, 4])
    failed = [answer for answer in answers if answer.status_code == 500]
    assert len(failed) >= 2
    assert {error(answer) for answer in failed} == {"result_not_encodable"}
    assert "one result for each of" in failed[0].json()["error"]["message"]


def test_result_that_cannot_be_encoded_fails_alone(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    answers = first_alone(server, callers, "odd", [1, 2, 3, 4])
    assert [answer.status_code for answer in answers] == [200, 500, 200, 200]
    assert error(answers[1]) == "result_not_encodable"


@pytest.mark.parametrize("how", ["leaves", "hurries"])
def test_one_of_four_does_not_stay(
    server: RunningServer, callers: ThreadPoolExecutor, how: str
) -> None:
    """Its function runs on for the other three, and they are answered by that very run."""
    stay = [callers.submit(ask, server, "four", x=5.0) for _ in range(3)]
    server.wait_for(lambda: under_way(server, "four", 3), "not all came")
    if how == "leaves":
        with pytest.raises(httpx.ReadTimeout):
            server.http.post("services/four/call", json={"x": 5.0}, timeout=2.0)
    else:
        hurried = server.http.post(
            "services/four/call", json={"x": 5.0}, headers={"X-Timeout": "2"}
        )
        assert error(hurried) == "deadline_exceeded"
        assert not any(answer.done() for answer in stay)
    assert [answer.result(60).json() for answer in stay] == [4, 4, 4]


def test_batch_that_nobody_waits_for_is_stopped(server: RunningServer) -> None:
    with pytest.raises(httpx.ReadTimeout):
        server.http.post("services/slow/call", json={"x": 25.0}, timeout=1.0)
    assert ask(server, "slow", x=0.0).json() == 1


def test_stacked_arrays_of_two_shapes(server: RunningServer, callers: ThreadPoolExecutor) -> None:
    values = [[3.0, 4.0], [2.0], [6.0, 8.0], [3.0, 4.0]]
    answers = ask_all(server, callers, "norms", values)
    assert [answer.json() for answer in answers] == [[3, 5.0], [1, 2.0], [3, 10.0], [3, 5.0]]


def test_lost_worker_loses_its_whole_batch_and_no_more(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    source = """
import os, time
import easymlnb as ml

@ml.service(batch=ml.Batch(max_size=3, max_wait=2))
def dies(x: ml.Batched[int]) -> list[int]:
    if 13 in x:
        os._exit(1)
    return x
"""
    found = server.publish(make_notebook(source), "dies.ipynb")
    assert found["state"] == "ready", found
    answers = ask_all(server, callers, "dies", [1, 13, 2])
    assert Counter(error(answer) for answer in answers) == {"worker_lost": 3}
    assert ask(server, "dies", x=1).json() == 1
    server.http.delete("services/dies")


def test_live_service(server: RunningServer, callers: ThreadPoolExecutor) -> None:
    kernel = NotebookKernel(server.http)
    try:
        kernel.run(
            "import easymlnb as ml, time\n"
            "@ml.service(batch=ml.Batch())\n"
            "def together(x: ml.Batched[int]) -> list[tuple[int, int]]:\n"
            "    time.sleep(0.1)\n"
            "    return [(n, len(x)) for n in x]\n"
        )
        answers = [answer.json() for answer in ask_all(server, callers, "together", [*range(64)])]
        assert [number for number, _ in answers] == [*range(64)]
        assert max(size for _, size in answers) > 1
        assert kernel.run("together([1, 2])") is not None
    finally:
        kernel.close()
