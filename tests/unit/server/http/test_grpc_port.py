"""The port of gRPC: opened, closed, and what is logged where it cannot be."""

import logging
import os
import sys
from typing import Any

import grpc.aio
import pytest
from tornado.web import Application

from easymlnb.contract.errors import ServiceNotFound
from easymlnb_server.http.grpc_port import FORK_SUPPORT, GrpcPort
from easymlnb_server.protocols.oip.rpc.messages import SERVICE, message
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
