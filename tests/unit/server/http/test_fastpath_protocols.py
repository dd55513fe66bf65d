"""Other protocols on the fast path, by both entries."""

import asyncio
import json
from typing import Any

import pytest
from msgspec import structs

from easymlnb.contract.deepaas import DeepaasMethod, DeepaasModel
from easymlnb.contract.errors import (
    BadRequest,
    CallerError,
    CallFailed,
    DeadlineExceeded,
    EasyMLNBError,
    InvalidInput,
    LimitExceeded,
)
from easymlnb.contract.spec import LENIENT_JSON
from easymlnb.contract.tensors import TENSORS, WantedOutputs
from easymlnb.contract.training import Training
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.fastpath.call import FastCall
from easymlnb_server.http.fastpath.inference import FastInference
from easymlnb_server.http.fastpath.invocations import FastInvocations
from easymlnb_server.http.fastpath.predict import FastPredict
from easymlnb_server.http.fastpath.process import FastProcess
from easymlnb_server.http.fastpath.routes import FastRoute, combined, fast_routes
from easymlnb_server.protocols.deepaas.handlers import DeepaasPredictHandler
from easymlnb_server.protocols.mlflow.handlers import InvocationsHandler
from support.fastpath_server import BY_TORNADO, CALLS, Client, Pool, end, serving

MODELS = (*CALLS, FastRoute(r"/v2/models/([a-z]+)/infer", FastInference))


class Picky(FastCall):
    """Leaves the body ``no`` to the handlers."""

    @classmethod
    def create(cls, state: Any, known: Any, head: Any, body: bytes, writer: Any) -> Any:
        return None if body == b"no" else cls(state, known, head, body, writer)


PROCESS = (FastRoute(r"/services/([a-z]+)/process", FastProcess),)
PICKY = (FastRoute(r"/([a-z]+)/picky", Picky),)


def request(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Authorization: token secret"]
    lines += [f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def answered(pool: Pool, client: Client, body: bytes, media_type: str) -> tuple[Any, ...]:
    while not pool.calls:
        await pool_turn()
    end(pool.calls.pop(), body, media_type)
    return await client.answer()


async def pool_turn() -> None:
    await asyncio.sleep(0)


def refused(error: EasyMLNBError, details: Any) -> EasyMLNBError:
    """Return an error with the details that a worker sends."""
    error.details = details
    return error


@pytest.mark.parametrize("by_tornado", [False, True])
async def test_a_body_that_only_handlers_can_answer(by_tornado: bool) -> None:
    async with serving(routes=PICKY) as (pool, connect):
        client = await connect()
        if by_tornado:
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await client.answer())[2] == BY_TORNADO
        client.send(request("/f/picky", b"yes"))
        assert (await answered(pool, client, b"1", "application/json"))[2] == b"1"
        client.send(request("/f/picky", b"no"))
        assert (await client.answer())[2] == BY_TORNADO + b" no"
        client.send(request("/f/picky", b"yes"))
        assert (await answered(pool, client, b"2", "application/json"))[2] == b"2"


async def test_an_inference_request() -> None:
    head = json.dumps({"id": "a", "inputs": [], "parameters": {"priority": 3}}).encode()
    async with serving(routes=MODELS) as (pool, connect):
        client = await connect()
        length = f"Inference-Header-Content-Length: {len(head)}"
        client.send(request("/v2/models/f/infer", head + b"1234", length))
        while not pool.calls:
            await pool_turn()
        call = pool.calls[0].call
        assert call.content_type == f"{TENSORS};head={len(head)}"
        assert WantedOutputs.parse(call.accept) == WantedOutputs()
        body = b'{"outputs":[]}'
        status, found, content = await answered(
            pool, client, body + b"56", f"{TENSORS};head={len(body)}"
        )
        size = int(found.partition("Inference-Header-Content-Length: ")[2].partition("\r")[0])
        assert status == 200 and content[size:] == b"56"
        assert json.loads(content[:size]) == {
            "model_name": "f", "model_version": "3", "id": "a", "outputs": [],
        }  # fmt: skip


async def test_errors_of_an_inference_request() -> None:
    async with serving(routes=MODELS) as (pool, connect):
        client = await connect()
        client.send(request("/v2/models/f/infer", b"{"))
        status, _, content = await client.answer()
        assert status == 400 and "not a valid inference" in json.loads(content)["error"]
        client.send(request("/v2/models/f/infer", b'{"inputs": []}'))
        while not pool.calls:
            await pool_turn()
        error = InvalidInput([{"field": "x", "message": "is missing"}])
        pool.calls.pop().answer(CallResult(error=error))
        status, _, content = await client.answer()
        assert (status, json.loads(content)) == (400, {"error": error.message})


async def test_a_call_of_easymlserve() -> None:
    async with serving(routes=PROCESS) as (pool, connect):
        client = await connect()
        client.send(request("/services/f/process", b""))
        while not pool.calls:
            await pool_turn()
        call = pool.calls[0].call
        assert (call.content_type, call.accept) == (LENIENT_JSON, "")
        status, head, content = await answered(pool, client, b"1", "application/json; charset=x")
        assert (status, content) == (200, b"1") and "Content-Type: application/json\r\n" in head
        client.send(request("/services/f/process", b"{}"))
        while not pool.calls:
            await pool_turn()
        error = CallerError("Too many.")
        error.details = {"status_code": 450, "detail": {"most": 3}}
        pool.calls.pop().answer(CallResult(error=error))
        status, _, content = await client.answer()
        assert (status, json.loads(content)) == (450, {"detail": {"most": 3}})
        client.send(request("/services/f/process", b"a", "Content-Type: text/plain"))
        assert (await client.answer())[2] == BY_TORNADO + b" a"


MODEL = "/services/f/deepaas/v2/models/m-1/predict/"
SCORING = "/services/f/invocations"
OTHERS = (
    FastRoute(r"/services/([a-z]+)/invocations", FastInvocations),
    FastRoute(r"/services/([a-z]+)/deepaas/v2/models/[a-z0-9-]+/predict/", FastPredict),
)
HANDLERS = (
    (r"/services/([a-z]+)/invocations", InvocationsHandler),
    (r"/services/([a-z]+)/deepaas/v2/models/([^/]+)/predict/", DeepaasPredictHandler),
)
SPEC: dict[str, Any] = {
    "deepaas": DeepaasModel(name="m-1", predict=DeepaasMethod(service="f")),
    "max_body": 20,
    "timeout": 9.0,
}
CALLS_OF_MODELS = [
    (MODEL, b'{"x": 1}', ("Content-Type: application/json", "Accept: text/plain, */*")),
    (MODEL, b"", ()),
    (SCORING, b'{"inputs": [1]}', ("Content-Type: application/json; format=pandas-split",)),
    (SCORING, b"a,b", ("Content-Type: text/csv",)),
    (SCORING, b"{}", ()),
]
"""Path, body and headers."""
OUTCOMES: list[Result | EasyMLNBError] = [
    Result(id=0, content_type="application/json"),
    Result(id=0, content_type="text/plain", filename="ä.txt", models=(("forest", 4),)),
    Result(id=0, content_type="text/plain\n"),
    InvalidInput([{"field": "x", "message": "is missing"}]),
    refused(InvalidInput([]), {"x": ["Not a valid integer."]}),
    refused(CallerError("Ä."), {"status": 418}),
    refused(CallerError("No."), {"retry_after": 7}),
    refused(CallerError("No."), {"retry_after": "1\r\nSet-Cookie: a=b"}),
    refused(LimitExceeded("user", "calls_per_day", 5, 60), {"limit": "a\r\nb: c", "value": 1}),
    LimitExceeded("user", "calls_per_day", 5, 60),
    BadRequest("The body is not valid JSON."),
    CallFailed("ValueError"),
    DeadlineExceeded(3.0),
]
ONLY_IN_ONE = (
    *("server", "date", "access-control-allow-origin"),
    *("server-timing", "x-easymlnb-version", "x-easymlnb-model"),
)
"""Headers that may be different."""


async def exchanges(fast: bool, sent: bytes) -> list[Any]:
    """Return what the worker gets of a request, and its caller of each outcome."""
    found: list[Any] = []
    async with serving(fast_path=fast, routes=OTHERS, handlers=HANDLERS, **SPEC) as (pool, connect):
        client = await connect()
        for outcome in OUTCOMES:
            client.send(sent)
            async with asyncio.timeout(10):
                while not pool.calls:
                    await pool_turn()
            handle = pool.calls.pop()
            found.append(structs.replace(handle.call, seconds=round(handle.call.seconds)))
            error = outcome if isinstance(outcome, EasyMLNBError) else None
            result = outcome if isinstance(outcome, Result) else None
            handle.answer(CallResult(result=result, error=error, body=b"<1>" if result else b""))
            status, head, content = await client.answer()
            lines = (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            fields = {name.lower(): value for name, value in lines}
            assert ("server" in fields) is not fast
            for name in ONLY_IN_ONE:
                fields.pop(name, None)
            found.append((handle.body, status, fields, content))
    return found


@pytest.mark.parametrize(("path", "body", "headers"), CALLS_OF_MODELS)
async def test_calls_of_models_are_answered_as_by_their_handlers(
    path: str, body: bytes, headers: tuple[str, ...]
) -> None:
    sent = request(path, body, "X-Request-Id: the-same-id", *headers)
    fast, slow = await exchanges(True, sent), await exchanges(False, sent)
    assert fast == slow
    assert all(call.seconds == 9 for call in fast[::2])
    assert not any({"set-cookie", "b"} & fields.keys() for _, _, fields, _ in fast[1::2])


@pytest.mark.parametrize(
    ("path", "body", "changes", "expected"),
    [
        (MODEL.replace("m-1", "m-2"), b"{}", {}, (404, b"404: Not Found")),
        (MODEL, b"{}", {"deepaas": None}, (404, b"404: Not Found")),
        (MODEL, b"{}", {"deepaas": DeepaasModel(name="m-1")}, (402, b"402: Payment Required")),
        (MODEL, b" " * 21, {}, (413, b"413: The request body of 21 bytes is over the limit")),
        (SCORING, b" " * 21, {}, (413, b'{"error_code": "BAD_REQUEST", "message": "The requ')),
        (SCORING, b"{}", {"stream": True}, (400, b'{"error_code": "BAD_REQUEST", "message"')),
        (SCORING, b"{}", {"training": Training(model="m")}, (400, b'{"error_code": "BAD_REQUEST"')),
    ],
)
@pytest.mark.parametrize("fast", [True, False])
async def test_calls_of_models_that_only_handlers_answer(
    fast: bool, path: str, body: bytes, changes: Any, expected: tuple[int, bytes]
) -> None:
    more = {**SPEC, **changes}
    async with serving(fast_path=fast, routes=OTHERS, handlers=HANDLERS, **more) as (pool, connect):
        client = await connect()
        client.send(request(path, body))
        status, head, content = await client.answer()
        assert (status, content[: len(expected[1])]) == expected and "Server: " in head
        assert not pool.calls


@pytest.mark.parametrize("path", [MODEL, SCORING])
@pytest.mark.parametrize("fast", [True, False])
async def test_a_server_that_trusts_its_cluster_needs_no_login(fast: bool, path: str) -> None:
    async with serving(fast_path=fast, routes=OTHERS, handlers=HANDLERS, everyone=True, **SPEC) as (
        pool,
        connect,
    ):
        client = await connect()
        sent = request(path, b"{}").replace(b"Authorization: token secret\r\n", b"")
        client.send(sent)
        async with asyncio.timeout(10):
            assert (await answered(pool, client, b"1", "application/json"))[0] == 200
        foreign = b"\r\nOrigin: http://elsewhere.org\r\nContent-Length"
        client.send(sent.replace(b"\r\nContent-Length", foreign))
        assert (await client.answer())[0] == 403


def test_the_number_of_a_route() -> None:
    for shared, name in ((False, b"f"), (True, b"alice/f")):
        routes = fast_routes("/user/a.b/easymlnb/", shared=shared)
        paths = [b"services/NAME/call", b"v2/models/NAME/infer", b"services/NAME/process"]
        paths += [b"services/NAME/invocations", b"services/NAME/deepaas/v2/models/m-1/predict/"]
        paths += [b"services/NAME/mcp", b"mcp"]
        for number, path in enumerate(paths):
            whole = b"/user/a.b/easymlnb/" + path.replace(b"NAME", name)
            match = combined(routes).fullmatch(whole)
            assert match is not None and match.lastindex == number + 1
            assert match[number + 1] == (b"" if path == b"mcp" else name)
        assert combined(routes).fullmatch(b"/user/axb/easymlnb/mcp") is None
