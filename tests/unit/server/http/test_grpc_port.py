"""The port of gRPC: opened, closed, and what is logged where it cannot be."""

import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from tornado.web import Application

from easymlnb.contract.errors import ServiceNotFound
from easymlnb.contract.tensors import TENSORS
from easymlnb.contract.worker_protocol import Call, Result
from easymlnb_server.context import STATE
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.http.grpc_port import FORK_SUPPORT, GrpcPort
from easymlnb_server.protocols.oip.rpc.messages import SERVICE, message
from support import fastpath_server
from support.fastpath_server import Services, make_state, settings
from support.server import free_port


class Registry(Services):
    def resolve(self, name: str, *arguments: Any, **options: Any) -> Any:
        raise ServiceNotFound(name)


def state() -> Any:
    found = make_state(Registry())
    found.ready = True
    return found


def application() -> Application:
    return Application([], **settings(identity_provider=None, authorizer=None))


def call(channel: Any, name: str, kind: str) -> Any:
    return channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=message(f"{kind}Request").SerializeToString,
        response_deserializer=message(f"{kind}Response").FromString,
    )


async def test_a_port_is_opened_and_closed(caplog: pytest.LogCaptureFixture) -> None:
    address = f"127.0.0.1:{free_port()}"
    port = GrpcPort(address)
    await port.open(application(), state())
    assert FORK_SUPPORT not in os.environ
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await call(channel, "ServerReady", "ServerReady")(message("ServerReadyRequest")())
        assert answer.ready is True
    with caplog.at_level(logging.ERROR):
        await GrpcPort(address).open(application(), state())
    assert "Cannot serve gRPC on" in caplog.text
    await port.close()
    await port.close()


NO_TENSORS = b'{"outputs":[]}'


class Pool(fastpath_server.Pool):
    """Answers each call at once, without an output."""

    def submit(self, call: Call, *arguments: Any, **more: Any) -> CallHandle:
        found = super().submit(call, *arguments, **more)
        result = Result(id=1, content_type=f"{TENSORS};head={len(NO_TENSORS)}")
        found.answer(CallResult(result=result, body=NO_TENSORS))
        return found


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[Any, Pool]]:
    """Serve one service; yields a channel, and the pool of its calls."""
    services = Services()
    pool = services.pool = Pool()
    made = make_state(services)
    address = f"127.0.0.1:{free_port()}"
    port = GrpcPort(address)
    await port.open(Application([], **settings(**{STATE: made, "cookie_secret": "secret"})), made)
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel, pool
    await port.close()


async def test_calls_of_known_and_unknown_senders() -> None:
    async with served() as (channel, pool):
        infer = call(channel, "ModelInfer", "ModelInfer")
        request = message("ModelInferRequest")(model_name="f", id="7")
        headers = [("authorization", "token secret"), ("x-request-id", "a-request-id")]
        # The second is identified by a handler, as it has an option.
        for more in ([], [("x-timeout", "5")]):
            answer = await infer(request, metadata=[*headers, *more])
            assert (answer.model_name, answer.model_version, answer.id) == ("f", "3", "7")
        assert [one.call.request_id for one in pool.calls] == ["a-request-id"] * 2
        assert 4 < pool.calls[1].call.seconds <= 5
        for wrong in ([], [("authorization", "token wrong")]):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await infer(request, metadata=wrong)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        unknown = channel.unary_unary(f"/{SERVICE}/NoSuchCall")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await unknown(b"", metadata=headers)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert len(pool.calls) == 2


async def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.startswith("easymlnb_server.protocols.oip")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.setitem(sys.modules, "grpc.aio", None)
    with caplog.at_level(logging.ERROR):
        await GrpcPort("127.0.0.1:1").open(application(), state())
    assert "pip install 'easymlnb[grpc]'" in caplog.text
