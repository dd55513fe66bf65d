"""Report errors of commands: one sentence on stderr and an exit code, no traceback."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from easymlnb.contract.errors import EasyMLNBError

FAILED, INTERRUPTED = 1, 130
DEBUG = "EASYMLNB_DEBUG"
"""Name of the variable that enables tracebacks, to find defects of easymlnb."""


class ErrorReportingGroup(TyperGroup):
    """A command group that prints errors as sentences."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # The terminal shows ^C: continue on a new line.
            typer.echo("", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader (head, less) has ended: no error, and Python must not flush again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except Exception as error:
            # All versions of typer's usage errors and exits have this attribute.
            own = hasattr(error, "exit_code") or isinstance(error, typer.Abort)
            if own or os.environ.get(DEBUG):
                raise
            typer.echo(f"easymlnb: {sentence(error)}", err=True)
            raise typer.Exit(FAILED) from error


def sentence(error: Exception) -> str:
    """Return the message for an error."""
    if isinstance(error, EasyMLNBError):
        request = f" (request {error.request_id})" if error.request_id else ""
        return f"{_by_field(error)}{request}"
    if isinstance(error, OSError) and error.strerror:
        file = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{file}"
    text = " ".join(str(error).split()) or "no details"
    if isinstance(error, TypeError | ValueError):
        return text
    return f"Unexpected {type(error).__name__}: {text}. Set {DEBUG}=1 for the traceback."


def _by_field(error: EasyMLNBError) -> str:
    """Return the message; several invalid fields are on separate lines."""
    fields = error.details
    if not isinstance(fields, list) or len(fields) < 2:
        return error.message
    if not all(isinstance(one, dict) and {"field", "message"} <= one.keys() for one in fields):
        return error.message
    head = error.message.partition(". ")[0]
    return "\n  ".join([f"{head}:", *(f"{one['field']}: {one['message']}" for one in fields)])
