"""Convert exceptions: what a caller may see, and the traceback for the author.

An exception is the author's code, too: its text, its notes and even the name of its class may
raise when they are asked for. And not every exception is the author's: where easymlnb itself, or
a library that it uses, fails on a value, the function is not to be blamed.
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
    from_code,
)
from easymlnb.contract.texts import all_sendable, sendable
from easymlnb.runtime.hints import advise
from easymlnb.types import inference

TRACE_LIMIT = 20_000
"""Characters of a traceback that are kept."""

RUNTIME = tuple(
    str(Path(__file__).parent.parent / folder) for folder in ("runtime", "compose", "calling")
)
"""Folders of our own code between a caller and the code of the author."""

LIBRARIES = (
    str(Path(__file__).parent.parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    site.getusersitepackages(),
)
"""Folders of code that no author of a notebook wrote."""

NO_DETAILS = "\nThe details of this error cannot be converted to JSON and were omitted.\n"


class Stopped(BaseException):
    """Raised inside a function whose call was cancelled; no ``except Exception`` swallows it."""


class Raised(Exception):
    """The author's code raised: what the caller may know, and the traceback for the author."""

    def __init__(self, error: BaseException) -> None:
        if not issubclass(type(error), CallerError):
            _advise(error)
        self.trace = trace_of(error)
        if issubclass(type(error), CallerError):
            self.public, left_out = _public(error)
            self.trace += NO_DETAILS * left_out
        else:
            self.public = CallFailed(kind(error))


def _advise(error: BaseException) -> None:
    try:
        advise(error)
    except Stopped:
        raise
    except BaseException:
        return  # an author's own class may raise whatever it is asked for


def told(error: BaseException) -> tuple[EasyMLNBError, str]:
    """Return what an error outside of the author's function is to its caller, and its trace."""
    if isinstance(error, Raised):
        return error.public, error.trace
    if isinstance(error, EasyMLNBError):
        public, left_out = _public(error)
        # What a caller did wrong has no trace: it is nothing that the author could mend.
        trace = trace_of(error) if error.status == 500 else ""
        return public, trace + NO_DETAILS * left_out
    if _has_authors_code(error):
        return CallFailed(kind(error)), trace_of(error)
    return defect(error), trace_of(error)


def defect(error: BaseException) -> InternalError:
    """Return the error of a call on which easymlnb itself failed."""
    return InternalError(
        f"easymlnb failed to decode or encode this call ({kind(error)}). This is a defect in "
        "easymlnb or one of its libraries, not in the service's function. The traceback is in "
        "the service's log under the request id."
    )


def kind(error: BaseException) -> str:
    """Return the name of an error's class, whatever its metaclass makes of that."""
    return sendable(type.__dict__["__name__"].__get__(type(error)))


def trace_of(error: BaseException) -> str:
    """Return the traceback from the author's own code on; it raises ``Stopped`` at most."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and _is_runtime(trace):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
    except Stopped:
        raise
    except BaseException as broken:
        lines = [
            "Traceback (most recent call last):\n",
            *traceback.format_tb(trace),
            f"{kind(error)}: its text cannot be displayed because str() raised {kind(broken)}\n",
        ]
    return sendable("".join(lines)[-TRACE_LIMIT:])


def _public(error: Any) -> tuple[EasyMLNBError, bool]:
    """Return an error as it can be sent, and whether its details had to be left out.

    A class of the author's own below ``CallerError`` is sent as that: nobody else knows its code.
    """
    code = next(code for one in type(error).__mro__ for code in BY_CODE if BY_CODE[code] is one)
    given = getattr(error, "details", None)
    details = _plain(given)
    public = from_code(code, _text(getattr(error, "message", error)), details)
    return public, given is not None and details is None


def _text(value: Any) -> str:
    try:
        return sendable(value if type(value) is str else str(value))
    except Stopped:
        raise
    except BaseException:
        return "The error's text cannot be displayed."


def _plain(details: Any) -> Any:
    """Return details in JSON values, ``None`` where they have none."""
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
    """Say whether the author's own code had a part in it, as a validator or a type has."""
    return any(
        not name.startswith((*LIBRARIES, "<frozen", "<string", "<__array"))
        for name in _files(error.__traceback__)
    )


def _files(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
