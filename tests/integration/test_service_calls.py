"""Services that call services by name: across bundles, in one, in batches, in circles."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import RunningServer

INNER = """
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
import numpy as np
import easymlnb as ml

@ml.service
def inner_add(a: int, b: int = 1) -> int:
    return a + b

@ml.service(batch=ml.Batch(max_size=16))
def inner_sizes(n: ml.Batched[int]) -> list[int]:
    time.sleep(0.05)
    return [len(n)] * len(n)

@ml.service
def inner_fails(n: int) -> int:
    raise ml.CallerError(f"{n} is too few") if n < 0 else RuntimeError("secret of the inner")

@ml.service
def inner_array(
    a: Annotated[np.ndarray, ml.Array("float32")]
) -> Annotated[np.ndarray, ml.Array("float32")]:
    return a * 2

@ml.service(timeout=60)
def inner_slow(marker: str) -> int:
    Path(marker).write_text("begun")
    try:
        while True:
            time.sleep(0.01)
    finally:
        Path(marker).write_text("stopped")

@ml.service
def inner_back(n: int) -> int:
    return ml.use("outer_circle")(n=n)

@ml.service
def inner_count(n: int) -> Iterator[int]:
    yield from range(n)
"""

OUTER = """
import asyncio
import numpy as np
import easymlnb as ml

add, sizes, fails = ml.use("inner_add"), ml.use("inner_sizes"), ml.use("inner_fails")

@ml.service
def outer_add(n: int) -> int:
    return add(n, b=10)

@ml.service
def outer_local(n: int) -> int:
    return ml.use("outer_add")(n) + 100

@ml.service
def outer_self(n: int) -> int:
    return ml.use("outer_self")(n)

@ml.service
def outer_circle(n: int) -> str:
    try:
        return str(ml.use("inner_back")(n))
    except ml.EasyMLNBError as error:
        return error.code

@ml.service
def outer_map(n: int) -> list[int]:
    return sizes.map(range(n))

@ml.service
async def outer_async(n: int) -> int:
    return sum(await asyncio.gather(*(add.aio(k, b=0) for k in range(n))))

@ml.service
async def outer_one(n: int) -> int:
    return await sizes.aio(n)

@ml.service
async def outer_plain(n: int) -> str:
    try:
        return str(add(n))
    except RuntimeError as error:
        return str(error)

@ml.service
def outer_errors(n: int) -> list[str]:
    found = []
    for call in (lambda: fails(n), lambda: add("x"), lambda: add(), lambda: ml.use("nobody")()):
        try:
            call()
            found.append("none")
        except ml.EasyMLNBError as error:
            found.append(f"{error.code}: {error.message}")
    return found

@ml.service
def outer_lets_through(n: int) -> int:
    return fails(n)

@ml.service
def outer_array(n: int) -> float:
    a = np.ones((n, n), "float32")
    found = ml.use("inner_array")(a)
    return float(found.sum()) + found.dtype.itemsize

@ml.service(timeout=60)
def outer_slow(marker: str) -> int:
    return ml.use("inner_slow")(marker)

@ml.service
def outer_stream(n: int) -> list[int]:
    return ml.use("inner_count")(n)
"""


@pytest.fixture(scope="module")
def server(session_server: RunningServer) -> Iterator[RunningServer]:
    for source, name in ((INNER, "inner.ipynb"), (OUTER, "outer.ipynb")):
        found = session_server.publish(make_notebook(source), name)
        assert found["state"] == "ready", found
    yield session_server


def answer(server: RunningServer, name: str, **values: object) -> object:
    found = server.call(name, **values)
    assert found.status_code == 200, found.text
    return found.json()


def test_a_service_calls_one_of_another_notebook(server: RunningServer) -> None:
    assert answer(server, "outer_add", n=5) == 15


def test_a_service_of_the_same_notebook_is_called_directly(server: RunningServer) -> None:
    # One worker serves both: by the queue it would wait for itself.
    assert answer(server, "outer_local", n=5) == 115


def test_a_call_of_itself_is_refused(server: RunningServer) -> None:
    found = server.call("outer_self", n=1)
    assert (found.status_code, found.json()["error"]["code"]) == (500, "call_failed")
    assert "outer_self -> outer_self" in server.http.get("services/outer_self/log").text


def test_a_circle_over_two_notebooks_is_refused(server: RunningServer) -> None:
    assert answer(server, "outer_circle", n=1) == "call_failed"
    logged = server.http.get("services/inner_back/log").json()["entries"][-1]
    assert "outer_circle -> inner_back -> outer_circle" in logged["trace"]


def test_many_calls_of_a_batched_service_run_together(server: RunningServer) -> None:
    assert max(answer(server, "outer_map", n=40)) > 1  # type: ignore[call-overload]


def test_coroutines_call_side_by_side(server: RunningServer) -> None:
    assert answer(server, "outer_async", n=20) == sum(range(20))


def test_many_outer_calls_become_batches(server: RunningServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: answer(server, "outer_one", n=n), range(24)))
    assert max(found) > 1  # type: ignore[type-var]


def test_a_plain_call_in_a_coroutine_says_what_to_write(server: RunningServer) -> None:
    assert "await inner_add.aio(...)" in str(answer(server, "outer_plain", n=1))


def test_errors_arrive_as_what_they_are(server: RunningServer) -> None:
    found = answer(server, "outer_errors", n=-3)
    assert found == [
        "caller_error: -3 is too few",
        "invalid_input: The input is invalid. a: The value must be a whole number.",
        "invalid_input: The input is invalid. a: A value is required.",
        "service_not_found: There is no service named 'nobody'. 'GET services' lists all services.",
    ]


def test_an_error_that_is_let_through_tells_nothing(server: RunningServer) -> None:
    found = server.call("outer_lets_through", n=1)
    assert (found.status_code, found.json()["error"]["code"]) == (500, "call_failed")
    assert "secret" not in found.text


@pytest.mark.parametrize("size", [10, 800])
def test_arrays_go_both_ways(server: RunningServer, size: int) -> None:
    assert answer(server, "outer_array", n=size) == 2 * size * size + 4


def test_a_stream_arrives_as_a_list(server: RunningServer) -> None:
    assert answer(server, "outer_stream", n=4) == [0, 1, 2, 3]


def test_the_end_of_the_outer_call_ends_the_inner(server: RunningServer, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    caller = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"token {server.token}"}
    body = json.dumps({"marker": str(marker)})
    caller.request("POST", "/easymlnb/services/outer_slow/call", body, headers)
    server.wait_for(
        lambda: marker.exists() and marker.read_text() == "begun", "the inner call did not begin"
    )
    caller.close()
    server.wait_for(lambda: marker.read_text() == "stopped", "the inner call went on")


def test_the_inner_call_has_the_time_that_is_left(server: RunningServer, tmp_path: Path) -> None:
    # As long as it takes until the inner one has begun, and then some.
    values, headers = {"marker": str(tmp_path / "marker")}, {"X-Timeout": "4"}
    found = server.http.post("services/outer_slow/call", json=values, headers=headers)
    assert found.json()["error"]["code"] == "deadline_exceeded"

    def ended() -> bool:
        entries = server.http.get("services/inner_slow/log").json()["entries"]
        return bool(entries) and entries[-1]["status"] in (503, 504)

    server.wait_for(ended, "the inner call went on")


def test_the_inner_call_is_logged_under_the_outer_ones_id(server: RunningServer) -> None:
    headers = {"X-Request-Id": "my-own-request"}
    server.http.post("services/outer_add/call", json={"n": 1}, headers=headers)
    entries = server.http.get("services/inner_add/log").json()["entries"]
    assert any(entry["request_id"].startswith("my-own-request.") for entry in entries)


LIVE = """
import asyncio
import numpy as np
import easymlnb as ml

add = ml.use("inner_add")

@ml.service
def live_outer(n: int) -> int:
    return add(n) + sum(add.map(range(3)))

@ml.service
async def live_outer_async(n: int) -> int:
    return sum(await asyncio.gather(*(add.aio(k, b=0) for k in range(n))))

@ml.service
def live_circle(n: int) -> int:
    return ml.use("live_outer")(n)
"""


def test_live_services_and_cells_call_too(server: RunningServer) -> None:
    kernel = NotebookKernel(server.http, "calls.ipynb")
    try:
        assert kernel.run(LIVE).error == ""
        assert answer(server, "live_outer", n=1) == 2 + 6
        assert answer(server, "live_outer_async", n=4) == 6
        assert answer(server, "live_circle", n=1) == 8
        ran = kernel.run(
            "print(add(5), sum(add.map(range(50))), live_outer(2))\n"
            "print(ml.use('inner_array')(np.ones((700, 700), 'float32')).sum())\n"
            "try:\n    add('x')\nexcept ml.EasyMLNBError as error:\n    print(error.code)"
        )
        assert (ran.error, ran.stdout.split()) == (
            "", ["6", str(sum(range(51))), "9", "980000.0", "invalid_input"],
        )  # fmt: skip
    finally:
        kernel.close()
