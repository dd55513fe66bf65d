"""Report errors of commands: one sentence on stderr and an exit code, never a traceback."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from easymlnb.contract.errors import EasyMLNBError

FAILED, INTERRUPTED = 1, 130
DEBUG = "EASYMLNB_DEBUG"
"""Name of the variable that brings tracebacks back, for those who look for a defect of ours."""


class ErrorReportingGroup(TyperGroup):
    """The command group whose errors are for people."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # The terminal shows ^C; whatever follows begins on a line of its own.
            typer.echo("", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader (head, less) has left: not an error, and Python must not flush again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except Exception as error:
            # By this attribute typer's own usage errors and exits are known, whatever its version.
            own = hasattr(error, "exit_code") or isinstance(error, typer.Abort)
            if own or os.environ.get(DEBUG):
                raise
            typer.echo(f"easymlnb: {sentence(error)}", err=True)
            raise typer.Exit(FAILED) from error


def sentence(error: Exception) -> str:
    """Return what to say of an error."""
    if isinstance(error, EasyMLNBError):
        quoted = f" (request {error.request_id})" if error.request_id else ""
        return f"{_by_field(error)}{quoted}"
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    text = " ".join(str(error).split()) or "no details"
    if isinstance(error, TypeError | ValueError):
        return text
    return f"Unexpected {type(error).__name__}: {text}. Set {DEBUG}=1 for the traceback."


def _by_field(error: EasyMLNBError) -> str:
    """Return the message; of several fields that are wrong, each on a line of its own."""
    told = error.details
    if not isinstance(told, list) or len(told) < 2:
        return error.message
    if not all(isinstance(one, dict) and {"field", "message"} <= one.keys() for one in told):
        return error.message
    head = error.message.partition(". ")[0]
    return "\n  ".join([f"{head}:", *(f"{one['field']}: {one['message']}" for one in told)])
