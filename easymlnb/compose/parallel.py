"""Run several functions at the same time, each in a thread, as one call."""

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

TICK = 0.05
"""Seconds between two looks at whether the call was stopped."""

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


@dataclass(frozen=True, slots=True)
class _Told:
    name: str
    fraction: float
    text: str


@dataclass(frozen=True, slots=True)
class _Ended:
    name: str
    result: Any = None
    error: BaseException | None = None


def run_parallel(steps: Mapping[str, Step], values: dict[str, Any]) -> dict[str, Any]:
    """Return each step's result by its name, all run at once, each in a thread of its own.

    The first error ends the call; then, or when the call is stopped, so are the other threads.
    Only the calling thread emits, and it never waits for long, so it can be interrupted.
    """
    box: SimpleQueue[_Told | _Ended] = SimpleQueue()
    own = ThreadSettings()
    threads = {
        name: Thread(
            target=copy_context().run,
            args=(_run, own, name, step, values, box),
            name=f"easymlnb-{name}",
            daemon=True,
        )
        for name, step in steps.items()
    }
    try:
        for thread in threads.values():
            thread.start()
        found = _collect(steps, box)
    except BaseException:
        for thread in threads.values():
            if thread.is_alive() and thread.ident is not None:
                _raise_in_thread(thread.ident, ctypes.py_object(CallInterrupted))
        raise
    return {name: found[name] for name in steps}


def _run(
    own: ThreadSettings,
    name: str,
    step: Step,
    values: dict[str, Any],
    box: "SimpleQueue[_Told | _Ended]",
) -> None:
    # An interrupt may come when the step is done; the call is over then, and nobody listens.
    with suppress(CallInterrupted):
        own.apply()
        try:
            with _part(lambda done, text: box.put(_Told(name, done, text))):
                found = step.run(values, {})
            box.put(_Ended(name, found))
        except BaseException as error:
            box.put(_Ended(name, error=error))


@contextmanager
def _part(tell: Callable[[float, str], None]) -> Iterator[None]:
    """Make the code inside ``with`` a part of the current call that draws for itself."""
    whole = CURRENT_CALL.get()
    if whole is None:
        yield
        return
    part = StepContext(whole, tell)
    part.figures = OrderedDict()
    CURRENT_CALL.set(part)
    with own_figures(part):
        yield


def _collect(steps: Mapping[str, Step], box: "SimpleQueue[_Told | _Ended]") -> dict[str, Any]:
    whole = CURRENT_CALL.get()
    done = dict.fromkeys(steps, 0.0)
    found: dict[str, Any] = {}
    while len(found) < len(steps):
        try:
            event = box.get(timeout=TICK)
        except Empty:
            continue
        if isinstance(event, _Told):
            done[event.name] = event.fraction
            if whole is not None:
                whole.progress(min(1.0, sum(done.values()) / len(steps)), event.text)
        elif event.error is not None:
            raise event.error
        else:
            done[event.name] = 1.0
            found[event.name] = event.result
    return found
