"""Statuses and bodies of errors, as clients of DEEPaaS know them. Pure functions."""

import json
from http import HTTPStatus
from typing import Any

from easymlnb.contract.deepaas import STATUS, DeepaasModel, Method
from easymlnb.contract.errors import (
    BadRequest,
    CallerError,
    EasyMLNBError,
    InvalidInput,
    MethodNotAllowed,
    RouteNotFound,
    ServiceNotFound,
)

JSON = "application/json; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"

NOT_FOUND, OFF, NOT_IMPLEMENTED = 404, 402, 501

STANDARD = (RouteNotFound, ServiceNotFound, MethodNotAllowed)
"""Errors whose text is only the status and its name."""


def plain(status: int, reason: str = "") -> str:
    """Return the text of an error."""
    return f"{status}: {reason or HTTPStatus(status).phrase}"


def unavailable(model: DeepaasModel, method: Method) -> tuple[int, str]:
    """Return the status and the text for a method that the model does not offer."""
    if method in model.missing:
        reason = f"Not implemented by underlying model (loaded '{model.name}')"
        return NOT_IMPLEMENTED, plain(NOT_IMPLEMENTED, reason)
    return OFF, plain(OFF)


def of_error(error: EasyMLNBError) -> tuple[int, str, str]:
    """Return the status, the media type and the body for an error."""
    details: Any = error.details
    if isinstance(error, InvalidInput | BadRequest) and isinstance(details, dict):
        return error.status, JSON, json.dumps(details)
    if isinstance(error, STANDARD):
        return error.status, PLAIN, plain(error.status)
    status = error.status
    if isinstance(error, CallerError) and isinstance(details, dict):
        chosen = details.get(STATUS)
        status = chosen if isinstance(chosen, int) and 400 <= chosen < 600 else status
    return status, PLAIN, plain(status, error.message)
