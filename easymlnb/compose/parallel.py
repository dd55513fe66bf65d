"""Run several functions as one call, each in its own thread."""

import ctypes
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from easymlnb.compose.steps import Step
from easymlnb.runtime.context import CURRENT_CALL, StepContext
from easymlnb.runtime.failures import CallInterrupted
from easymlnb.runtime.figures import own_figures
from easymlnb.runtime.settings import ThreadSettings

POLL_INTERVAL = 0.05
"""Seconds between checks whether the call was stopped."""

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


@dataclass(frozen=True, slots=True)
class _Progress:
    name: str
    fraction: float
    text: str


@dataclass(frozen=True, slots=True)
class _Done:
    name: str
    result: Any = None
    error: BaseException | None = None


def run_parallel(steps: Mapping[str, Step], values: dict[str, Any]) -> dict[str, Any]:
    """Run all steps at once, each in its own thread, and return the results by name.

    After the first error, and when the call is stopped, the other threads are interrupted. Only the
    calling thread reports progress, and it waits in short intervals, so it can be interrupted.
    """
    events: SimpleQueue[_Progress | _Done] = SimpleQueue()
    settings = ThreadSettings()
    threads = {
        name: Thread(
            target=copy_context().run,
            args=(_run, settings, name, step, values, events),
            name=f"easymlnb-{name}",
            daemon=True,
        )
        for name, step in steps.items()
    }
    try:
        for thread in threads.values():
            thread.start()
        results = _collect(steps, events)
    except BaseException:
        for thread in threads.values():
            if thread.is_alive() and thread.ident is not None:
                _raise_in_thread(thread.ident, ctypes.py_object(CallInterrupted))
        raise
    return {name: results[name] for name in steps}


def _run(
    settings: ThreadSettings,
    name: str,
    step: Step,
    values: dict[str, Any],
    events: "SimpleQueue[_Progress | _Done]",
) -> None:
    # An interrupt may arrive after the step is done, when the call has ended.
    with suppress(CallInterrupted):
        settings.apply()
        try:
            with _own_context(lambda fraction, text: events.put(_Progress(name, fraction, text))):
                result = step.run(values, {})
            events.put(_Done(name, result))
        except BaseException as error:
            events.put(_Done(name, error=error))


@contextmanager
def _own_context(report: Callable[[float, str], None]) -> Iterator[None]:
    """Give the block its own context of the current call, with its own figures."""
    whole = CURRENT_CALL.get()
    if whole is None:
        yield
        return
    part = StepContext(whole, report)
    part.figures = OrderedDict()
    CURRENT_CALL.set(part)
    with own_figures(part):
        yield


def _collect(steps: Mapping[str, Step], events: "SimpleQueue[_Progress | _Done]") -> dict[str, Any]:
    whole = CURRENT_CALL.get()
    done = dict.fromkeys(steps, 0.0)
    results: dict[str, Any] = {}
    while len(results) < len(steps):
        try:
            event = events.get(timeout=POLL_INTERVAL)
        except Empty:
            continue
        if isinstance(event, _Progress):
            done[event.name] = event.fraction
            if whole is not None:
                whole.progress(min(1.0, sum(done.values()) / len(steps)), event.text)
        elif event.error is not None:
            raise event.error
        else:
            done[event.name] = 1.0
            results[event.name] = event.result
    return results
