"""The models that this process has loaded, and their replacement between two calls.

The server reports that an alias has moved. A thread loads the version next to the present one,
while calls continue. Then the server sends no more calls, and lets the main thread run the examples
of the services that use the model, and replace the version: a call never sees two versions, and
waits for no swap. A version that cannot be loaded, or fails in an example, is reported, and the
former one stays.
"""

import contextlib
import ctypes
import gc
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from easymlnb.contract.model_protocol import (
    LoadedModel,
    ModelLoaded,
    ModelMoved,
    ModelReady,
    ModelsInUse,
    ModelSwap,
)
from easymlnb.contract.worker_protocol import Message
from easymlnb.runtime import environment
from easymlnb.runtime.context import CURRENT_CALL
from easymlnb.runtime.link_requests import REQUESTS
from easymlnb.runtime.model_pins import ServedVersion

Load = Callable[[int, str], ServedVersion]
"""Loads a version of a model with a token of the server."""

Report = Callable[[Message, bytes], None]
Trial = Callable[[set[str]], str]
"""Runs the examples of these services; returns what is wrong, or ``""``."""

MAX_MESSAGE = 2000

_NO_TRIAL: Mapping["ModelSlot", ServedVersion] = MappingProxyType({})

_trial: ContextVar[Mapping["ModelSlot", ServedVersion]] = ContextVar(
    "easymlnb_trial", default=_NO_TRIAL
)
"""The versions that examples try."""


class ModelSlot:
    """The present version of one loaded model.

    - ``ref``: the alias or number under which it was loaded
    - ``exclusive``: whether the present version is dropped before the next one is loaded
    - ``services``: those that have used it
    """

    def __init__(self, ref: str, current: ServedVersion, load: Load, *, exclusive: bool) -> None:
        self.ref = ref
        self.current = current
        self.load = load
        self.exclusive = exclusive
        self.wanted = current.version
        self.services: set[str] = set()

    def served(self) -> ServedVersion:
        """Return the version that the running call uses, which is one for the whole call."""
        context = CURRENT_CALL.get()
        if context is None:
            return self.current
        pinned = context.models.get(self)
        if pinned is None:
            pinned = _trial.get().get(self, self.current)
            context.models[self] = pinned
            self.services.add(context.call.service)
        return pinned

    def matches(self, message: ModelMoved | ModelSwap) -> bool:
        """Return whether a message is about this model and alias."""
        return (self.current.model, self.ref) == (message.model, message.ref)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A version for the next swap; ``loaded`` is ``None`` if there is memory for one only."""

    number: int
    token: str
    loaded: ServedVersion | None


class ServedModels:
    """The models of this process. ``waiting`` says that ``swap`` has something to do."""

    def __init__(self) -> None:
        self.waiting = False
        self._slots: list[ModelSlot] = []
        self._ready: dict[ModelSlot, _Ready] = {}
        self._due: deque[ModelSwap] = deque()
        self._loading: queue.SimpleQueue[tuple[ModelSlot, ModelMoved, Report]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, slot: ModelSlot) -> None:
        """Add a model that this process has loaded, and report it to the server."""
        self._slots.append(slot)
        if environment.in_worker() and REQUESTS.transport is not None:
            REQUESTS.transport.notify(self.in_use())

    def in_use(self) -> ModelsInUse:
        """Return the message about all loaded models."""
        return ModelsInUse(models=tuple(map(_loaded, self._slots)))

    def __bool__(self) -> bool:
        return bool(self._slots)

    def move(self, message: ModelMoved, report: Report) -> None:
        """Load a version, and report when ``swap`` can use it; calls continue meanwhile."""
        slots = self._matching(message)
        for slot in slots:
            slot.wanted = message.version
        if slots and all(slot.current.version == message.version for slot in slots):
            for slot in slots:  # the alias has moved back
                self._ready.pop(slot, None)
            report(_outcome(message, ""), b"")
            return
        for slot in slots:
            if slot.exclusive:
                self._put(slot, message, None, report)
            else:
                self._loading.put((slot, message, report))
                self._start()

    def begin_swap(self, message: ModelSwap, wake: Callable[[], None]) -> None:
        """Let the main thread, which has no calls, ``swap``."""
        self._due.append(message)
        self.waiting = True
        wake()

    def swap(self, trial: Trial, report: Report) -> None:
        """Replace the versions that are due, in the main thread between two calls."""
        self.waiting = False
        while self._due:
            message = self._due.popleft()
            slots = self._matching(message)
            ready = {slot: self._ready.pop(slot) for slot in slots if slot in self._ready}
            error = _replace(ready, trial) if ready else ""
            report(_outcome(message, error), b"")

    def _matching(self, message: ModelMoved | ModelSwap) -> list[ModelSlot]:
        return [slot for slot in self._slots if slot.matches(message)]

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._load_all, name="easymlnb-models", daemon=True
            )
            self._thread.start()

    def _load_all(self) -> None:
        while True:
            slot, message, report = self._loading.get()
            if slot.wanted != message.version:
                continue  # the alias has moved again
            try:
                new = slot.load(message.version, message.token)
            except BaseException as error:
                for other in self._matching(message):
                    other.wanted = other.current.version
                    self._ready.pop(other, None)
                report(_outcome(message, _sentence(error)), b"")
            else:
                if slot.wanted == message.version:  # the alias may have moved meanwhile
                    self._put(slot, message, new, report)
                del new

    def _put(
        self, slot: ModelSlot, message: ModelMoved, new: ServedVersion | None, report: Report
    ) -> None:
        """Report that a version is ready, if all slots of the alias have it."""
        self._ready[slot] = _Ready(message.version, message.token, new)
        slots = self._matching(message)
        found = [self._ready.get(one) for one in slots]
        if all(one is not None and one.number == message.version for one in found):
            exclusive = any(one.exclusive for one in slots)
            report(
                ModelReady(
                    model=message.model,
                    ref=message.ref,
                    version=message.version,
                    exclusive=exclusive,
                ),
                b"",
            )


MODELS = ServedModels()


def _replace(ready: dict[ModelSlot, _Ready], trial: Trial) -> str:
    """Use new versions if the services' examples succeed; return what is wrong, or ``""``."""
    former = {slot: slot.current for slot in ready}
    new: dict[ModelSlot, ServedVersion] = {}
    error = ""
    try:
        for slot, one in ready.items():
            new[slot] = one.loaded or _load_alone(slot, one.number, one.token)
        with _trying(new):
            error = trial(set().union(*(slot.services for slot in new)))
    except Exception as problem:
        error = _sentence(problem)
    for slot, one in ready.items():
        if not error:
            slot.current = new[slot]
        elif slot.current is not former[slot]:
            slot.current = slot.load(former[slot].version, one.token)
    del former, new
    ready.clear()
    _release_memory()
    return error


def _load_alone(slot: ModelSlot, number: int, token: str) -> ServedVersion:
    """Drop the present version and load another: there is memory for one only."""
    slot.current = ServedVersion(slot.current.model, slot.current.version, None)
    _release_memory()
    return slot.load(number, token)


@contextlib.contextmanager
def _trying(new: Mapping[ModelSlot, ServedVersion]) -> Iterator[None]:
    token = _trial.set(new)
    try:
        yield
    finally:
        _trial.reset(token)


def _loaded(slot: ModelSlot) -> LoadedModel:
    return slot.current.model, slot.ref, slot.current.version


def _outcome(message: ModelMoved | ModelSwap, error: str) -> ModelLoaded:
    return ModelLoaded(
        model=message.model, ref=message.ref, version=message.version, error=error[:MAX_MESSAGE]
    )


def _sentence(error: BaseException) -> str:
    message: Any = getattr(error, "message", "")
    return str(message) or f"{type(error).__name__}: {error}"


def _release_memory() -> None:
    """Free the former version now, and give its memory back to the system."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
