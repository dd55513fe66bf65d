"""The call that is running: its progress and what it prints."""

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from io import TextIOBase
from typing import Any

from easymlnb.contract.message import sendable
from easymlnb.contract.worker_protocol import Call, Message, Progress
from easymlnb.runtime.credentials import CREDENTIALS
from easymlnb.runtime.model_pins import ServedVersion

Emit = Callable[[Message, bytes], None]

LOG_LIMIT = 64 * 1024
"""Characters of a call's output that are stored; the rest is only counted."""

PROGRESS_EVERY = 0.05
"""Seconds between two progress messages of one call; the last one (1.0) is always sent."""


class OutputLog:
    """Text up to a limit, with a note about what was cut. Any thread may use it."""

    def __init__(self, limit: int = LOG_LIMIT) -> None:
        # Reentrant, because a signal handler of the author may print in the middle of a write.
        self._writing = threading.RLock()
        self._limit = limit
        self._stored: list[str] = []
        self._size = 0
        self._copy: OutputLog | None = None

    def copy_to(self, other: "OutputLog") -> None:
        """Write the text so far, and what follows, to another log as well."""
        with self._writing:
            other.write(self.text())
            self._copy = other

    def write(self, text: str) -> None:
        with self._writing:
            if self._copy is not None:
                self._copy.write(text)
            left = self._limit - self._size
            self._size += len(text)
            if 0 < left < len(text):
                text = CREDENTIALS.mask(text)  # later, a part of a credential is not recognized
            if left > 0:
                self._stored.append(sendable(text[:left]))

    def text(self) -> str:
        """Return the stored text, with a note at its end if something was cut."""
        cut = self._size - self._limit
        note = f"\n... {cut} more characters were truncated.\n" if cut > 0 else ""
        return "".join(self._stored) + note


CALL_LOGS: dict[int, OutputLog] = {}
"""The logs of the jobs, which are files, and of the calls that may become one, by call id."""


class Context:
    """One running call."""

    def __init__(self, call: Call, emit: Emit) -> None:
        self.call = call
        self.log = CALL_LOGS.get(call.id) or OutputLog()
        self.figures: OrderedDict[Any, Any] = OrderedDict()  # pyplot's, by number
        self.models: dict[object, ServedVersion] = {}  # the versions that the call uses
        self._emit = emit
        self._reported = 0.0

    def used_models(self) -> tuple[tuple[str, int], ...]:
        """Return the names and versions of the models that the call has used."""
        return tuple(one.label for one in self.models.values()) if self.models else ()

    def progress(self, fraction: float, text: str) -> None:
        """Send progress to the caller, at most every ``PROGRESS_EVERY`` seconds."""
        now = time.monotonic()
        if not self.call.progress or (now - self._reported < PROGRESS_EVERY and fraction < 1):
            return
        self._reported = now
        shown = CREDENTIALS.mask(sendable(text))
        self._emit(Progress(id=self.call.id, fraction=fraction, text=shown), b"")


class StepContext(Context):
    """A call as one of its steps sees it; ``report`` receives the progress of that step."""

    def __init__(self, whole: Context, report: Callable[[float, str], None]) -> None:
        self.__dict__.update(whole.__dict__)
        self._report = report

    def progress(self, fraction: float, text: str) -> None:
        self._report(fraction, text)


CURRENT_CALL: ContextVar[Context | None] = ContextVar("easymlnb_call", default=None)


class NewModels:
    """What the items of the running call say about the models that it uses."""

    def __init__(self) -> None:
        self._context = CURRENT_CALL.get()
        self._known = 0

    def take(self) -> tuple[tuple[str, int], ...]:
        """Return the models that were used so far, if there are new ones since the last item."""
        if self._context is None or len(self._context.models) == self._known:
            return ()
        self._known = len(self._context.models)
        return self._context.used_models()


def progress(fraction: float, text: str = "") -> None:
    """Report the progress of the running call to its caller.

    Outside a call, and for callers who did not ask for progress, it does nothing.

    Parameters
    ----------
    fraction : float
        From 0 to 1.
    text : str, default ""
        What the function is doing.

    Raises
    ------
    ValueError
        ``fraction`` is not from 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"progress requires a fraction from 0 to 1, not {fraction!r}.")
    context = CURRENT_CALL.get()
    if context is not None:
        context.progress(float(fraction), str(text))


class _CallStream(TextIOBase):
    """A standard stream that writes the output of calls to their logs."""

    def __init__(self, stream: Any, outside: OutputLog | None = None) -> None:
        self.stream = stream
        self.outside = outside

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        text = str.__str__(text)  # a subclass may slice and join differently
        context = CURRENT_CALL.get()
        if context is not None:
            context.log.write(text)
        elif self.outside is None or self.outside._size < self.outside._limit:
            if self.outside is not None:
                self.outside.write(text)
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        return int(self.stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(self.stream.encoding)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def capture_prints() -> None:
    """Write the output of calls to their logs; calling it again changes nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # A function may have replaced the stream, so this is checked before every call.
        if not isinstance(stream, _CallStream):
            setattr(sys, name, _CallStream(stream))


def limit_prints(characters: int) -> None:
    """Limit the output outside calls; calling it again resets the count."""
    capture_prints()
    for name in ("stdout", "stderr"):
        getattr(sys, name).outside = OutputLog(characters)


class call_context:
    """Make a call the current one inside ``with``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        capture_prints()
        self._token = CURRENT_CALL.set(self._context)
        return self._context

    def __exit__(self, *error: object) -> None:
        CURRENT_CALL.reset(self._token)
