"""Calls in threads: answered once each, and an interrupt hits the call it is meant for."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from easymlnb.contract.worker_protocol import Call, Failure, Item, Progress, Result
from easymlnb.runtime.context import progress
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import Service, define
from support.call_sink import WAIT, Sink


@pytest.fixture
def threads() -> ThreadCallRunner:
    return ThreadCallRunner(4)


def run(
    threads: ThreadCallRunner, function: Callable[..., Any], body: bytes = b"{}", **more: Any
) -> Any:
    sink = Sink()
    threads.submit(define(function), Call(id=1, service="f", **more), body, sink)
    message, data = sink.end()
    return message, data, sink.events


def test_result(threads: ThreadCallRunner) -> None:
    def double(x: int) -> int:
        print("seen", x)
        return 2 * x

    message, data, _ = run(threads, double, b'{"x": 4}')
    assert (data, message.content_type, message.log) == (b"8", "application/json", "seen 4\n")


def test_failure_keeps_the_traceback_for_the_author(threads: ThreadCallRunner) -> None:
    def broken() -> int:
        raise KeyError("secret")

    message, _, _ = run(threads, broken)
    assert (message.code, "secret" in message.message) == ("call_failed", False)
    assert message.trace.splitlines()[1].endswith("in broken")


def test_progress_and_items(threads: ThreadCallRunner) -> None:
    from collections.abc import Iterator

    def count(n: int) -> Iterator[int]:
        for number in range(n):
            progress((number + 1) / n, f"at {number}")
            yield number

    # The hint is local to this test, so it is given as an object.
    count.__annotations__ = {"n": int, "return": Iterator[int]}
    message, _, events = run(threads, count, b'{"n": 3}', progress=True)
    assert isinstance(message, Result)
    assert len([e for e in events if isinstance(e, Item)]) == 3
    assert [e.fraction for e in events if isinstance(e, Progress)][-1] == 1


def test_tqdm_bars_are_progress(threads: ThreadCallRunner) -> None:
    def bar() -> int:
        from tqdm import tqdm

        for _ in tqdm(range(4), desc="work", mininterval=0):
            time.sleep(0.06)
        return 1

    _, _, events = run(threads, bar, progress=True)
    texts = [e.text for e in events if isinstance(e, Progress)]
    assert texts
    assert texts[-1].startswith("work: ")


def test_async_functions_run(threads: ThreadCallRunner) -> None:
    import asyncio

    async def nap(x: int) -> int:
        await asyncio.sleep(0.01)
        return x

    message, data, _ = run(threads, nap, b'{"x": 4}')
    assert data == b"4", message


@pytest.mark.parametrize("kind", ["loop", "sleep", "async"])
def test_cancel_stops_the_function(threads: ThreadCallRunner, kind: str) -> None:
    import asyncio

    began = threading.Event()

    def loop() -> int:
        began.set()
        while True:
            pass

    def sleep() -> int:
        began.set()
        while True:
            time.sleep(0.01)

    async def wait() -> int:
        began.set()
        await asyncio.sleep(60)
        return 1

    sink = Sink()
    function: Any = {"loop": loop, "sleep": sleep, "async": wait}[kind]
    threads.submit(define(function), Call(id=7, service="f"), b"{}", sink)
    assert began.wait(WAIT)
    threads.cancel(7)
    if kind == "async":
        # A thread that waits in C sees the interrupt when it wakes; other calls still run.
        assert run(threads, lambda_free(), b"{}")[1] == b"1"
        return
    assert sink.end()[0].code == "cancelled"


def lambda_free() -> Callable[..., Any]:
    def one() -> int:
        return 1

    return one


def test_cancel_before_the_start(threads: ThreadCallRunner) -> None:
    hold = threading.Event()

    def wait() -> int:
        hold.wait(WAIT)
        return 1

    busy, sink = Sink(), Sink()
    service = define(wait)
    for number in range(4):
        threads.submit(service, Call(id=number, service="wait"), b"{}", busy)
    threads.submit(service, Call(id=9, service="wait"), b"{}", sink)
    threads.cancel(9)
    hold.set()
    assert sink.end()[0].code == "cancelled"
    assert [busy.end()[1] for _ in range(4)] == [b"1"] * 4


def test_cancelled_again_and_again_it_is_interrupted_once(threads: ThreadCallRunner) -> None:
    stopped: list[int] = []
    began, end = threading.Event(), threading.Event()

    def loop() -> int:
        began.set()
        while True:
            pass

    def work() -> int:
        try:
            loop()
        except BaseException:
            # A second interrupt would hit here, where the first one is dealt with.
            stopped.append(1)
            end.wait(0.2)
            for _ in range(10_000):
                stopped.append(0)
            raise
        return 1

    sink = Sink()
    threads.submit(define(work), Call(id=7, service="f"), b"{}", sink)
    assert began.wait(WAIT)
    for _ in range(50):
        threads.cancel(7)
    assert sink.end()[0].code == "cancelled"
    threads.cancel(7)
    assert sum(stopped) == 1
    assert len(stopped) == 10_001
    assert run(threads, lambda_free(), b"{}")[1] == b"1"


def test_an_interrupt_never_hits_another_call(threads: ThreadCallRunner) -> None:
    def spin(n: int) -> int:
        total = 0
        for number in range(n):
            total += number
        return total

    service: Service = define(spin)
    sink = Sink()
    chance = random.Random(1)
    calls, unwanted = 3000, set()
    for number in range(calls):
        threads.submit(service, Call(id=number, service="spin"), b'{"n": 500}', sink)
        if chance.random() < 0.5:
            target = max(0, number - chance.randrange(6))
            unwanted.add(target)
            threads.cancel(target)
    ends = [sink.end()[0] for _ in range(calls)]
    assert {end.id for end in ends} == set(range(calls))
    stopped = {end.id for end in ends if isinstance(end, Failure)}
    assert stopped <= unwanted
    assert all(end.code == "cancelled" for end in ends if isinstance(end, Failure))
