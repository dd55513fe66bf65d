"""Our errors as the status codes of gRPC."""

import grpc

from easymlnb.contract.errors import Busy, CallCancelled, EasyMLNBError

_BY_CODE = {
    Busy.code: grpc.StatusCode.RESOURCE_EXHAUSTED,
    CallCancelled.code: grpc.StatusCode.CANCELLED,
}
_BY_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
    507: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def code_of(error: EasyMLNBError) -> grpc.StatusCode:
    """Return the code of an error; what has none of its own is a failed precondition."""
    found = _BY_CODE.get(error.code) or _BY_STATUS.get(error.status)
    if found is None:
        failed = error.status < 500
        found = grpc.StatusCode.FAILED_PRECONDITION if failed else grpc.StatusCode.INTERNAL
    return found
