"""Convert exceptions: what a caller may see, and the traceback for the author.

Exceptions contain code of the author: their text, notes and even class names may raise. Not every
exception is the author's: easymlnb or one of its libraries may fail on a value, too.
"""

import site
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from pydantic_core import to_jsonable_python

from easymlnb.contract.errors import (
    BY_CODE,
    CallerError,
    CallFailed,
    EasyMLNBError,
    InternalError,
    Preempted,
    from_code,
)
from easymlnb.contract.message import all_sendable, sendable
from easymlnb.runtime.hints import advise
from easymlnb.types import inference

TRACE_LIMIT = 20_000
"""Characters of a traceback that are stored: its end."""

RUNTIME = tuple(
    str(Path(__file__).parent.parent / folder) for folder in ("runtime", "compose", "calling")
)
"""Folders of easymlnb's code between a caller and the author's code."""

LIBRARIES = (
    str(Path(__file__).parent.parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    site.getusersitepackages(),
)
"""Folders of code that is not the author's."""

NO_DETAILS = "\nThe details of this error cannot be converted to JSON and were omitted.\n"


class CallInterrupted(BaseException):
    """Raised inside a function whose call was canceled; ``except Exception`` does not catch it."""


class JobLeft(BaseException):
    """Raised inside the function of a job that leaves its node."""


class UserCodeError(Exception):
    """An exception of the author's code: the public error, and the traceback for the author."""

    def __init__(self, error: BaseException) -> None:
        if type(error) is JobLeft:  # isinstance would ask the class that an error claims to have
            self.public: EasyMLNBError = Preempted()
            self.trace = ""
            return
        if not issubclass(type(error), CallerError):
            _advise(error)
        self.trace = trace_of(error)
        if issubclass(type(error), CallerError):
            self.public, left_out = _public(error)
            self.trace += NO_DETAILS * left_out
        else:
            self.public = CallFailed(class_name(error))


def _advise(error: BaseException) -> None:
    try:
        advise(error)
    except CallInterrupted:
        raise
    except BaseException:
        return  # any attribute of an author's class may raise


def to_public(error: BaseException) -> tuple[EasyMLNBError, str]:
    """Return the public error for any exception of a call, and its traceback."""
    if isinstance(error, UserCodeError):
        return error.public, error.trace
    if isinstance(error, EasyMLNBError):
        public, left_out = _public(error)
        # Errors of callers have no traceback: the author cannot fix them.
        trace = trace_of(error) if error.status == 500 else ""
        return public, trace + NO_DETAILS * left_out
    if _has_authors_code(error):
        return CallFailed(class_name(error)), trace_of(error)
    return defect(error), trace_of(error)


def defect(error: BaseException) -> InternalError:
    """Return the error of a call on which easymlnb itself failed."""
    return InternalError(
        f"easymlnb failed to decode or encode this call ({class_name(error)}). This is a defect in "
        "easymlnb or one of its libraries, not in the service's function. The traceback is in "
        "the service's log under the request id."
    )


def class_name(error: BaseException) -> str:
    """Return the name of an error's class, also if its metaclass hides it."""
    return sendable(type.__dict__["__name__"].__get__(type(error)))


def trace_of(error: BaseException) -> str:
    """Return the traceback from the author's code on; raises nothing but ``CallInterrupted``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and _is_runtime(trace):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
    except CallInterrupted:
        raise
    except BaseException as broken:
        lines = [
            "Traceback (most recent call last):\n",
            *traceback.format_tb(trace),
            f"{class_name(error)}: its text cannot be displayed because str() raised "
            f"{class_name(broken)}\n",
        ]
    return sendable("".join(lines)[-TRACE_LIMIT:])


def _public(error: Any) -> tuple[EasyMLNBError, bool]:
    """Return an error that can be sent, and whether its details were omitted.

    An author's subclass of ``CallerError`` is sent as ``CallerError``.
    """
    code = next(code for one in type(error).__mro__ for code in BY_CODE if BY_CODE[code] is one)
    given = getattr(error, "details", None)
    details = _json_details(given)
    public = from_code(code, _text(getattr(error, "message", error)), details)
    return public, given is not None and details is None


def _text(value: Any) -> str:
    try:
        return sendable(value if type(value) is str else str(value))
    except CallInterrupted:
        raise
    except BaseException:
        return "The error's text cannot be displayed."


def _json_details(details: Any) -> Any:
    """Return details as JSON values; ``None`` if they cannot be converted."""
    try:
        found = to_jsonable_python(
            all_sendable(details), inf_nan_mode="null", fallback=inference.to_json_value
        )
        msgspec.msgpack.encode(found)
    except Exception:
        return None
    return found


def _is_runtime(trace: TracebackType) -> bool:
    return trace.tb_frame.f_code.co_filename.startswith(RUNTIME)


def _has_authors_code(error: BaseException) -> bool:
    """Return whether the author's code took part, for example as a validator or a type."""
    return any(
        not name.startswith((*LIBRARIES, "<frozen", "<string", "<__array"))
        for name in _files(error.__traceback__)
    )


def _files(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
