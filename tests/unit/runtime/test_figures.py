"""pyplot inside calls: each draws into its own figures, which are closed with it."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from easymlnb.compose.parallel import run_parallel
from easymlnb.compose.steps import Step
from easymlnb.contract.worker_protocol import Call
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import define
from support.call_sink import WAIT, Sink

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def plt() -> Iterator[Any]:
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.fixture
def threads() -> ThreadCallRunner:
    return ThreadCallRunner(3)


def counts_lines(plt: Any, meet: threading.Barrier) -> Any:
    """Return a service that says what it drew into while others draw, too."""

    def lines(n: int) -> list[int]:
        for at in range(n):
            plt.plot([0, at])
            meet.wait(WAIT)
        return [len(plt.gca().lines), *plt.get_fignums()]

    return lines


def test_calls_at_once_draw_into_their_own_figures(plt: Any, threads: ThreadCallRunner) -> None:
    service, sink = define(counts_lines(plt, threading.Barrier(3))), Sink()
    plt.figure(7)
    for number in range(3):
        threads.submit(service, Call(id=number, service="lines"), b'{"n": 3}', sink)
    assert [sink.end()[1] for _ in range(3)] == [b"[3,1]"] * 3
    assert (plt.get_fignums(), plt.gca().lines[:]) == ([7], [])


def test_coroutines_at_once_draw_into_their_own_figures(
    plt: Any, threads: ThreadCallRunner
) -> None:
    import asyncio

    async def lines(n: int) -> list[int]:
        for at in range(n):
            plt.plot([0, at])
            await asyncio.sleep(0.01)
        return [len(plt.gca().lines), *plt.get_fignums()]

    sink = Sink()
    for number in range(3):
        threads.submit(define(lines), Call(id=number, service="lines"), b'{"n": 3}', sink)
    assert [sink.end()[1] for _ in range(3)] == [b"[3,1]"] * 3
    assert plt.get_fignums() == []


def test_steps_side_by_side_draw_into_their_own_figures(
    plt: Any, threads: ThreadCallRunner
) -> None:
    lines = counts_lines(plt, threading.Barrier(2))
    names = frozenset(("n",))
    step = Step(lines, "a step", names, names, names)

    def both() -> dict[str, list[int]]:
        plt.figure(5)
        return {**run_parallel({"a": step, "b": step}, {"n": 2}), "own": plt.get_fignums()}

    sink = Sink()
    threads.submit(define(both), Call(id=1, service="both"), b"", sink)
    assert sink.end()[1] == b'{"a":[2,1],"b":[2,1],"own":[5]}'


@pytest.mark.parametrize("body", [b'{"fails": true}', b'{"fails": false}'])
def test_figures_are_closed_after_the_call(
    plt: Any, threads: ThreadCallRunner, body: bytes
) -> None:
    drawn = []

    def draws(fails: bool) -> int:
        drawn.extend(weakref.ref(plt.figure()) for _ in range(2))
        return 1 // (not fails)

    sink = Sink()
    threads.submit(define(draws), Call(id=1, service="draws"), body, sink)
    sink.end()
    gc.collect()
    assert ([one() for one in drawn], plt.get_fignums()) == ([None, None], [])


def test_a_figure_of_the_notebook_is_sent_and_stays_open(
    plt: Any, threads: ThreadCallRunner
) -> None:
    figure = plt.figure()
    figure.add_subplot().plot([1, 2])

    def mine():  # type: ignore[no-untyped-def]
        return figure

    sink = Sink()
    threads.submit(define(mine), Call(id=1, service="mine", accept="image/png"), b"", sink)
    assert sink.end()[1].startswith(b"\x89PNG")
    assert plt.fignum_exists(figure.number)


FIRST = """
import sys, threading
from support.call_sink import Sink
from easymlnb.contract.worker_protocol import Call
from easymlnb.services.definition import define
from easymlnb.runtime.thread_calls import ThreadCallRunner
import easymlnb.types.plot

def lines() -> list[int]:
    import matplotlib.pyplot as plt
    plt.plot([1, 2])
    meet.wait(60)
    return [len(plt.gca().lines), *plt.get_fignums()]

meet, sink, threads = threading.Barrier(2), Sink(), ThreadCallRunner(2)
assert "matplotlib" not in sys.modules
for number in range(2):
    threads.submit(define(lines), Call(id=number, service="lines"), b"", sink)
print([sink.end()[1] for _ in range(2)])
from matplotlib import pyplot
print(pyplot.get_fignums())
"""


def test_a_call_may_be_the_first_to_import_pyplot() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FIRST],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=100,
    )
    assert (ran.stdout, ran.stderr) == ("[b'[1,1]', b'[1,1]']\n[]\n", "")
