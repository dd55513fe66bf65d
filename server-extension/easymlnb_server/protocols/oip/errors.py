"""Errors in the form of the protocol: one sentence, and a status that its clients know."""

from typing import Any

from easymlnb.contract.errors import EasyMLNBError

UNPROCESSABLE = 422
"""Our status of values that are invalid; the protocol has only 400 for them."""


def status_of(error: EasyMLNBError) -> int:
    return 400 if error.status == UNPROCESSABLE else error.status


def document(error: EasyMLNBError) -> dict[str, Any]:
    """Return the body of the response to a request that failed."""
    return {"error": error.message}
