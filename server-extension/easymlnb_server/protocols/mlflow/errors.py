"""Errors as MLflow's servers send them."""

from easymlnb.contract.errors import BadRequest, EasyMLNBError

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "ENDPOINT_NOT_FOUND",
    413: "BAD_REQUEST",
    415: "BAD_REQUEST",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""MLflow's codes of errors, by status."""

UNPROCESSABLE = 422
"""The status of what does not match a service, which the protocol does not have."""


class InvalidParameter(BadRequest):
    """The input does not match the service."""


def in_protocol(error: EasyMLNBError) -> EasyMLNBError:
    """Return an error with a status that the protocol has."""
    return InvalidParameter(error.message) if error.status == UNPROCESSABLE else error


def document(error: EasyMLNBError) -> dict[str, str]:
    """Return the body of the response to a request that failed."""
    if isinstance(error, InvalidParameter):
        code = "INVALID_PARAMETER_VALUE"
    else:
        code = CODES.get(error.status, "INTERNAL_ERROR")
    return {"error_code": code, "message": error.message}
