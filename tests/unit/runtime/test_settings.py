"""Calls in other threads begin with the settings of the thread that runs the cells."""

import asyncio
import decimal
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from easymlnb.compose.parallel import run_parallel
from easymlnb.compose.steps import Step
from easymlnb.contract.worker_protocol import Call
from easymlnb.runtime import settings
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import define
from support.call_sink import Sink

numpy = pytest.importorskip("numpy")

WHO = ContextVar("who", default="nobody")
PER_THREAD = threading.local()
TABLE = sqlite3.connect(":memory:")


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> ThreadCallRunner:
    monkeypatch.setattr(settings, "_cells", None)
    settings.remember()
    return ThreadCallRunner(2)


def answer(threads: ThreadCallRunner, function: Callable[..., Any]) -> str:
    sink = Sink()
    threads.submit(define(function), Call(id=1, service="f"), b"", sink)
    message, data = sink.end()
    return data.decode() or message.code


@contextmanager
def grad_off() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(True)


def grad() -> bool:
    import torch

    return torch.is_grad_enabled()


@contextmanager
def meta_device() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device("cpu")


def device() -> str:
    import torch

    return str(torch.ones(1).device)


@contextmanager
def frames() -> Iterator[None]:
    sklearn = pytest.importorskip("sklearn")
    with sklearn.config_context(transform_output="pandas"):
        yield


def transform_output() -> str:
    import sklearn

    return str(sklearn.get_config()["transform_output"])


@contextmanager
def unevaluated() -> Iterator[None]:
    sympy = pytest.importorskip("sympy")
    with sympy.evaluate(False):
        yield


def sum_of_sympy() -> str:
    import sympy

    return str(sympy.Integer(1) + sympy.Integer(1))


@contextmanager
def fifty_digits() -> Iterator[None]:
    with decimal.localcontext() as context:
        context.prec = 50
        yield


def third() -> str:
    return str(decimal.Decimal(1) / 3)


def division() -> str:
    return str(numpy.geterr()["divide"])


CASES = [
    pytest.param(grad_off, grad, id="torch's grad mode"),
    pytest.param(meta_device, device, id="torch's default device"),
    pytest.param(frames, transform_output, id="scikit-learn"),
    pytest.param(unevaluated, sum_of_sympy, id="sympy"),
    pytest.param(fifty_digits, third, id="decimal"),
    pytest.param(lambda: numpy.errstate(divide="raise"), division, id="numpy"),
]


NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(("changed", "function"), CASES)
def test_a_call_answers_as_the_thread_of_the_cells(
    threads: ThreadCallRunner, changed: Callable[[], Any], function: Callable[[], Any]
) -> None:
    async def coroutine() -> Any:
        return function()

    schema = define(function).schema
    before = schema.dump(function()).decode()
    with changed():
        settings.remember()
        changed_to = function()
        here = schema.dump(changed_to).decode()
        assert here != before
        assert answer(threads, function) == here
        assert answer(threads, coroutine) == here
        step = Step(function, "a step", NONE, NONE, NONE)
        assert run_parallel({"a": step, "b": step}, {}) == {"a": changed_to, "b": changed_to}
    settings.remember()
    assert answer(threads, function) == before
    assert answer(threads, coroutine) == before


def test_what_a_call_sets_is_not_set_for_the_next(threads: ThreadCallRunner) -> None:
    sklearn = pytest.importorskip("sklearn")
    settings.remember()
    one = ThreadCallRunner(1)

    def sets() -> int:
        decimal.getcontext().prec = 3
        WHO.set("call")
        sklearn.set_config(transform_output="pandas")
        return 1

    def looks() -> str:
        return f"{third()} {WHO.get()} {transform_output()}"

    assert answer(one, sets) == "1"
    assert answer(one, looks) == f'"{third()} nobody default"'
    assert (third(), transform_output()) == ("0.3333333333333333333333333333", "default")


def test_a_local_that_holds_objects_makes_one_for_each_thread(
    threads: ThreadCallRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.local()
    monkeypatch.setattr(sys.modules["__main__"], "held", held, raising=False)
    held.made, held.connection = True, TABLE
    opened: list[sqlite3.Connection] = []

    def reads() -> int:
        if not getattr(held, "made", False):
            held.made = True
            held.connection = sqlite3.connect(":memory:", check_same_thread=False)
            opened.append(held.connection)
        return int(held.connection.execute("SELECT 3").fetchone()[0])

    settings.remember()
    assert [answer(threads, reads) for _ in range(3)] == ["3"] * 3
    for connection in opened:
        connection.close()


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (lambda: TABLE.execute("SELECT 1"), "check_same_thread=False"),
        (lambda: PER_THREAD.missing, "ContextVar"),
        (lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN), "publish the service"),
        (asyncio.get_event_loop, "asyncio.run"),
        (asyncio.get_running_loop, "async def"),
    ],
)
def test_an_error_of_the_thread_says_what_to_do(
    threads: ThreadCallRunner, wrong: Callable[[], Any], advice: str
) -> None:
    def service() -> None:
        try:
            wrong()
        except Exception as error:
            raise KeyError("wrapped") from error

    sink = Sink()
    threads.submit(define(service), Call(id=1, service="f"), b"", sink)
    failure, _ = sink.end()
    assert (failure.code, failure.message.count(advice)) == ("call_failed", 0)
    assert advice in failure.trace.splitlines()[-1]


def test_other_errors_get_no_advice(threads: ThreadCallRunner) -> None:
    def service() -> None:
        raise ValueError("too small")

    sink = Sink()
    threads.submit(define(service), Call(id=1, service="f"), b"", sink)
    assert sink.end()[0].trace.endswith("ValueError: too small\n")
