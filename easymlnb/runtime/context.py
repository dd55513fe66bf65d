"""The call that is running: its progress, its prints, and its cancellation."""

import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from io import TextIOBase
from types import TracebackType
from typing import Any

from easymlnb.contract.message import sendable
from easymlnb.contract.worker_protocol import Call, Message, Progress

Emit = Callable[[Message, bytes], None]

LOG_LIMIT = 64 * 1024
"""Characters of a call's prints that are kept; the rest is counted, not stored."""

PROGRESS_EVERY = 0.05
"""Seconds between two progress messages of one call; the last one (1.0) always goes."""


class Log:
    """Text up to a limit, and a mark that says how much was cut."""

    def __init__(self, limit: int = LOG_LIMIT) -> None:
        self._limit = limit
        self._kept: list[str] = []
        self._size = 0

    def write(self, text: str) -> None:
        room = self._limit - self._size
        if room > 0:
            self._kept.append(sendable(text[:room]))
        self._size += len(text)

    def text(self) -> str:
        """Return what was kept, ending in a mark if something was cut."""
        cut = self._size - self._limit
        mark = f"\n... {cut} more characters were truncated.\n" if cut > 0 else ""
        return "".join(self._kept) + mark


class Context:
    """One running call."""

    def __init__(self, call: Call, emit: Emit) -> None:
        self.call = call
        self.log = Log()
        self.figures: OrderedDict[Any, Any] = OrderedDict()  # pyplot's, by number
        self._emit = emit
        self._told = 0.0

    def progress(self, fraction: float, text: str) -> None:
        """Tell the caller, at most every ``PROGRESS_EVERY`` seconds, how far the call is."""
        now = time.monotonic()
        if not self.call.progress or (now - self._told < PROGRESS_EVERY and fraction < 1):
            return
        self._told = now
        self._emit(Progress(id=self.call.id, fraction=fraction, text=sendable(text)), b"")


class StepContext(Context):
    """A call as one of its steps sees it; ``tell`` passes on how far that step is."""

    def __init__(self, whole: Context, tell: Callable[[float, str], None]) -> None:
        self.__dict__.update(whole.__dict__)
        self._tell = tell

    def progress(self, fraction: float, text: str) -> None:
        self._tell(fraction, text)


CURRENT_CALL: ContextVar[Context | None] = ContextVar("easymlnb_call", default=None)


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


class _PerCall(TextIOBase):
    """A standard stream that gives each call its own prints and passes the rest on."""

    def __init__(self, stream: Any, outside: Log | None = None) -> None:
        self.stream = stream
        self.outside = outside

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        text = str.__str__(text)  # a subclass may slice and join as it likes
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
    """Send what calls print to their own logs from now on; calling it again changes nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # A function may have replaced the stream, so this is looked at before every call.
        if not isinstance(stream, _PerCall):
            setattr(sys, name, _PerCall(stream))


def limit_prints(characters: int) -> None:
    """Let what is printed outside calls through up to a limit; calling it again starts anew."""
    capture_prints()
    for name in ("stdout", "stderr"):
        getattr(sys, name).outside = Log(characters)


class running:
    """Make a call the current one, for the code inside ``with``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        capture_prints()
        self._token = CURRENT_CALL.set(self._context)
        return self._context

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        CURRENT_CALL.reset(self._token)
