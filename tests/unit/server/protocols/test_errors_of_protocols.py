"""Each of our errors of calls, in the form and with the code of each protocol."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from easymlnb.contract.deepaas import DeepaasMethod, DeepaasModel
from easymlnb.contract.errors import (
    Busy,
    CallerError,
    CallFailed,
    DeadlineExceeded,
    Draining,
    EasyMLNBError,
    Forbidden,
    InvalidInput,
    LimitExceeded,
    NotReady,
    ServiceNotFound,
    StorageFull,
    TooLarge,
    WorkerLost,
)
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.fastpath.routes import fast_routes
from easymlnb_server.protocols.deepaas.handlers import DeepaasPredictHandler
from easymlnb_server.protocols.easymlserve.handlers import ProcessHandler
from easymlnb_server.protocols.mcp import errors as mcp
from easymlnb_server.protocols.mlflow.handlers import InvocationsHandler
from easymlnb_server.protocols.oip.handlers import InferHandler
from easymlnb_server.protocols.oip.rpc.codes import code_of
from easymlnb_server.protocols.oip.streams.handlers import GenerateHandler, InferStreamHandler
from support.fastpath_server import Client, serving

CODE = grpc.StatusCode
AS_RESULT = 0
"""MCP: the failure is the result of a tool, which a model can read."""

ERRORS: list[tuple[EasyMLNBError, int, str, Any, int]] = [
    (LimitExceeded("key", "calls", 5, 60), 429, "REQUEST_LIMIT_EXCEEDED", CODE.RESOURCE_EXHAUSTED,
     mcp.UNAVAILABLE),
    (Forbidden("This API key lacks the scope 'call'."), 403, "PERMISSION_DENIED",
     CODE.PERMISSION_DENIED, mcp.REFUSED),
    (ServiceNotFound("f"), 404, "RESOURCE_DOES_NOT_EXIST", CODE.NOT_FOUND, mcp.INVALID_PARAMS),
    (NotReady("The service is starting."), 503, "TEMPORARILY_UNAVAILABLE", CODE.UNAVAILABLE,
     mcp.UNAVAILABLE),
    (Draining(), 503, "TEMPORARILY_UNAVAILABLE", CODE.UNAVAILABLE, mcp.UNAVAILABLE),
    (Busy(3, 7.0), 503, "TEMPORARILY_UNAVAILABLE", CODE.RESOURCE_EXHAUSTED, mcp.UNAVAILABLE),
    (DeadlineExceeded(2.0), 504, "DEADLINE_EXCEEDED", CODE.DEADLINE_EXCEEDED, AS_RESULT),
    (TooLarge("Too large."), 413, "BAD_REQUEST", CODE.RESOURCE_EXHAUSTED, AS_RESULT),
    (WorkerLost(), 503, "TEMPORARILY_UNAVAILABLE", CODE.UNAVAILABLE, AS_RESULT),
    (StorageFull("Full."), 507, "INTERNAL_ERROR", CODE.RESOURCE_EXHAUSTED, AS_RESULT),
    (InvalidInput([{"field": "x", "message": "is missing"}]), 422, "INVALID_PARAMETER_VALUE",
     CODE.INVALID_ARGUMENT, AS_RESULT),
    (CallerError("Take another one."), 422, "INVALID_PARAMETER_VALUE", CODE.INVALID_ARGUMENT,
     AS_RESULT),
    (CallFailed("ValueError"), 500, "INTERNAL_ERROR", CODE.INTERNAL, AS_RESULT),
]  # fmt: skip
"""An error, and its status, MLflow's code, that of gRPC and that of MCP."""
IDS = [error.code for error, *_ in ERRORS]

OIP = "/v2/models/f"
BODIES = {
    "/services/f/process": b"{}",
    "/services/f/invocations": b'{"inputs": []}',
    "/services/f/deepaas/v2/models/m/predict/": b"{}",
    f"{OIP}/infer": b'{"inputs": []}',
    f"{OIP}/infer_stream": b'{"inputs": []}',
    f"{OIP}/generate": b"{}",
    f"{OIP}/generate_stream": b"{}",
}
NAME = r"([a-z]+)"
HANDLERS: Any = (
    (rf"/services/{NAME}/process", ProcessHandler),
    (rf"/services/{NAME}/invocations", InvocationsHandler),
    (rf"/services/{NAME}/deepaas/v2/models/{NAME}/predict/", DeepaasPredictHandler),
    (rf"/v2/models/{NAME}/infer", InferHandler),
    (rf"/v2/models/{NAME}/infer_stream", InferStreamHandler),
    (rf"/v2/models/{NAME}/generate", GenerateHandler),
    (rf"/v2/models/{NAME}/generate_stream", GenerateHandler, {"stream": True}),
)
DEEP = DeepaasModel(name="m", predict=DeepaasMethod(service="f"))


def expected(path: str, error: EasyMLNBError, status: int, mlflow: str) -> tuple[int, str, Any]:
    """Return the status, the media type and the body of an error."""
    told = error.message
    if "deepaas" in path:
        details = isinstance(error, InvalidInput) and isinstance(error.details, dict)
        assert not details
        text = "404: Not Found" if status == 404 else f"{status}: {told}"
        return status, "text/plain; charset=utf-8", text
    plain = 400 if status == 422 else status
    if "invocations" in path:
        return plain, "application/json", {"error_code": mlflow, "message": told}
    if path.startswith(OIP):
        return plain, "application/json", {"error": told}
    if isinstance(error, InvalidInput):
        entry = {"loc": ["body", "x"], "msg": "is missing", "type": "value_error"}
        return status, "application/json", {"detail": [entry]}
    return status, "application/json", {"detail": told}


def request(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Authorization: token secret"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


@contextlib.asynccontextmanager
async def failing(error: EasyMLNBError, *, fast: bool, runs: bool) -> AsyncIterator[Client]:
    """Serve a service whose calls fail: when they are submitted, or when they run."""
    routes = fast_routes("/", shared=False)
    async with serving(fast_path=fast, routes=routes, handlers=HANDLERS, deepaas=DEEP) as (
        pool,
        connect,
    ):
        submit = pool.submit

        def fail(*arguments: Any, **more: Any) -> Any:
            if not runs:
                raise error
            made = submit(*arguments, **more)
            made.answer(CallResult(error=error))
            return made

        pool.submit = fail  # type: ignore[method-assign]
        yield await connect()


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize(("error", "status", "mlflow", "rpc", "tool"), ERRORS, ids=IDS)
async def test_errors(
    error: EasyMLNBError, status: int, mlflow: str, rpc: Any, tool: int, runs: bool, fast: bool
) -> None:
    assert code_of(error) is rpc
    assert mcp.is_for_models(error) is (tool == AS_RESULT)
    assert tool == AS_RESULT or mcp.from_error(error).code == tool
    async with failing(error, fast=fast, runs=runs) as client:
        for path, body in BODIES.items():
            client.send(request(path, body, "Content-Type: application/json"))
            found, head, content = await client.answer()
            code, media_type, document = expected(path, error, status, mlflow)
            assert found == code, (path, content)
            assert f"Content-Type: {media_type}\r\n" in head, path
            read = content.decode() if "deepaas" in path else json.loads(content)
            assert read == document, path
            assert ("Retry-After: " in head) is (status in (429, 503)), path
