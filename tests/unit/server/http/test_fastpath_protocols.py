"""Other protocols on the fast path, by both entries."""

import asyncio
import json
from typing import Any

import pytest

from easymlnb.contract.errors import CallerError, InvalidInput
from easymlnb.contract.spec import LENIENT_JSON
from easymlnb.contract.tensors import TENSORS, Wanted
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.fastpath.call import FastCall
from easymlnb_server.http.fastpath.inference import FastInference
from easymlnb_server.http.fastpath.process import FastProcess
from easymlnb_server.http.fastpath.routes import FastRoute, combined, fast_routes
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
        assert Wanted.parse(call.accept) == Wanted()
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


def test_the_number_of_a_route() -> None:
    for shared, name in ((False, b"f"), (True, b"alice/f")):
        routes = fast_routes("/user/a.b/easymlnb/", shared=shared)
        paths = [b"services/NAME/call", b"v2/models/NAME/infer", b"services/NAME/process"]
        paths += [b"services/NAME/mcp", b"mcp"]
        for number, path in enumerate(paths):
            whole = b"/user/a.b/easymlnb/" + path.replace(b"NAME", name)
            match = combined(routes).fullmatch(whole)
            assert match is not None and match.lastindex == number + 1
            assert match[number + 1] == (b"" if path == b"mcp" else name)
        assert combined(routes).fullmatch(b"/user/axb/easymlnb/mcp") is None
