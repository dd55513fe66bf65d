"""The models that this process has loaded, and their replacement between two calls.

The server reports that an alias has moved. A thread loads the version next to the present one. The
main thread then runs the examples of the services that use the model, and replaces the version: a
call never sees two versions. A version that cannot be loaded, or fails in an example, is reported,
and the former one stays.
"""

import contextlib
import ctypes
import gc
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from easymlnb.contract.model_protocol import LoadedModel, ModelLoaded, ModelMoved, ModelsInUse
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

_trial: ContextVar[tuple["ModelSlot", ServedVersion] | None] = ContextVar(
    "easymlnb_trial", default=None
)


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
            trial = _trial.get()
            pinned = trial[1] if trial is not None and trial[0] is self else self.current
            context.models[self] = pinned
            self.services.add(context.call.service)
        return pinned

    def matches(self, message: ModelMoved) -> bool:
        """Return whether a message is about this model and alias."""
        return (self.current.model, self.ref) == (message.model, message.ref)


class ServedModels:
    """The models of this process. ``waiting`` says that ``swap`` has something to do."""

    def __init__(self) -> None:
        self.waiting = False
        self._slots: list[ModelSlot] = []
        self._ready: deque[tuple[ModelSlot, int, str, ServedVersion | None]] = deque()
        self._loading: queue.SimpleQueue[tuple[ModelSlot, ModelMoved, Report, Callable[[], None]]]
        self._loading = queue.SimpleQueue()
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

    def move(self, message: ModelMoved, report: Report, wake: Callable[[], None]) -> None:
        """Load a version, and ``wake`` the main thread when ``swap`` can use it."""
        for slot in self._slots:
            if not slot.matches(message):
                continue
            slot.wanted = message.version
            if slot.exclusive:
                self._put(slot, message, None, wake)
            else:
                self._loading.put((slot, message, report, wake))
                self._start()

    def swap(self, trial: Trial, report: Report) -> None:
        """Replace the versions that are ready, in the main thread between two calls."""
        self.waiting = False
        while self._ready:
            slot, number, token, new = self._ready.popleft()
            if number != slot.wanted:
                continue
            former = slot.current
            error = ""
            try:
                new = new or _load_alone(slot, number, token)
                with _trying(slot, new):
                    error = trial(slot.services)
            except Exception as problem:
                error = _sentence(problem)
            if error and slot.current is not former:
                slot.current = slot.load(former.version, token)
            elif not error:
                assert new is not None
                slot.current = new
            del former, new
            _release_memory()
            report(_outcome(slot, number, error), b"")

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._load_all, name="easymlnb-models", daemon=True
            )
            self._thread.start()

    def _load_all(self) -> None:
        while True:
            slot, message, report, wake = self._loading.get()
            if slot.wanted != message.version:
                continue  # the alias has moved again
            try:
                new = slot.load(message.version, message.token)
            except BaseException as error:
                report(_outcome(slot, message.version, _sentence(error)), b"")
            else:
                self._put(slot, message, new, wake)
                del new

    def _put(
        self,
        slot: ModelSlot,
        message: ModelMoved,
        new: ServedVersion | None,
        wake: Callable[[], None],
    ) -> None:
        self._ready.append((slot, message.version, message.token, new))
        self.waiting = True
        wake()


MODELS = ServedModels()


def _load_alone(slot: ModelSlot, number: int, token: str) -> ServedVersion:
    """Drop the present version and load another: there is memory for one only."""
    slot.current = ServedVersion(slot.current.model, slot.current.version, None)
    _release_memory()
    return slot.load(number, token)


@contextlib.contextmanager
def _trying(slot: ModelSlot, new: ServedVersion) -> Iterator[None]:
    token = _trial.set((slot, new))
    try:
        yield
    finally:
        _trial.reset(token)


def _loaded(slot: ModelSlot) -> LoadedModel:
    return slot.current.model, slot.ref, slot.current.version


def _outcome(slot: ModelSlot, number: int, error: str) -> ModelLoaded:
    return ModelLoaded(
        model=slot.current.model, ref=slot.ref, version=number, error=error[:MAX_MESSAGE]
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
