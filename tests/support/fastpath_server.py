"""A server with both doors of plain calls, in the test's own loop, in front of a pool that answers
as the test says."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from easymlnb.contract.errors import Busy, ServiceNotFound
from easymlnb.contract.worker_protocol import Call, Result
from easymlnb_server.bundle_server.identity import ClusterIdentity
from easymlnb_server.calls.in_flight import InFlight
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.calls.log import CallLog
from easymlnb_server.calls.record import CallRecorder
from easymlnb_server.context import STATE
from easymlnb_server.dispatch.call import CallHandle, CallResult, Listener
from easymlnb_server.http.connection_settings import Inbound
from easymlnb_server.http.connections import Connections
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.fastpath.listener import install
from easymlnb_server.http.fastpath.routes import FastRoute
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.identity.quotas.quotas import Defaults, Quotas
from easymlnb_server.identity.usage.meter import UsageMeter
from easymlnb_server.observability.activity import Activity
from easymlnb_server.observability.metrics import CallMetrics
from easymlnb_server.services.models import Target
from support.fakes import spec

HEADERS = {"host": "localhost:8888", "authorization": "token secret", "content-length": "2"}
PLAIN = (
    b"POST /services/f/call HTTP/1.1\r\nHost: localhost\r\nAuthorization: token secret\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)
BY_TORNADO = b"by tornado"
CALLS = (FastRoute(r"/services/([A-Za-z0-9_-]+)/call"),)


ME = KnownCaller(Caller("me", admin=True), "user")


class Elsewhere(RequestHandler):
    def get(self) -> None:
        self.finish(BY_TORNADO)

    def post(self) -> None:
        self.finish(BY_TORNADO + b" " + self.request.body)


class Pool:
    """Takes calls and lets the test end them."""

    closed = False
    connections: Connections

    def __init__(self) -> None:
        self.calls: list[CallHandle] = []
        self.cancelled: list[CallHandle] = []
        self.full = False

    def submit(
        self, call: Call, body: bytes, listener: Listener | None = None, **more: Any
    ) -> CallHandle:
        if self.full:
            raise Busy(1, 7.0)
        pending = CallHandle(call, body, asyncio.get_running_loop())
        pending.started = 1.0
        pending.canceller = self.cancel
        self.calls.append(pending)
        return pending

    def cancel(self, pending: CallHandle, error: Any) -> None:
        self.cancelled.append(pending)
        pending.fail(error)


class Services:
    draining = False
    shared = False
    everyone = False
    user = Caller("me", admin=True)

    def __init__(self, **changes: Any) -> None:
        self.pool = Pool()
        self.spec = spec(**changes)

    def resolve(self, name: str, caller: Caller | None, action: Action, **options: Any) -> Target:
        assert caller == ME.caller
        assert action is Action.CALL
        if name != "f":
            raise ServiceNotFound(name)
        return Target(self.spec, self.pool, "3")  # type: ignore[arg-type]

    def replaced(self, target: Target) -> bool:
        return False


def make_state(services: Services) -> Any:
    series, calls, in_flight = CallMetrics(), CallLog(), InFlight()
    metrics: Any = SimpleNamespace(series=lambda name, version: series)
    activity = Activity({}, {}, None)  # type: ignore[arg-type]
    usage = UsageMeter()
    quotas = Quotas(Defaults(), usage)
    recorder = CallRecorder(calls, metrics, usage)
    return SimpleNamespace(
        services=services,
        calls=calls,
        metrics=metrics,
        in_flight=in_flight,
        quotas=quotas,
        invoker=Invoker(services, recorder, activity, in_flight, quotas),  # type: ignore[arg-type]
    )


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "identity_provider": IdentityProvider(token="secret"),
        "authorizer": AllowAllAuthorizer(),
        "local_hostnames": ["localhost"],
        **changes,
    }


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, str, bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = int(re.findall(r"\nContent-Length: (\d+)", head)[0])
        return int(head[9:12]), head, await self.reader.readexactly(length)


@asynccontextmanager
async def serving(
    limits: Inbound | None = None,
    certificate: Path | None = None,
    *,
    fast_path: bool = True,
    routes: tuple[FastRoute, ...] = CALLS,
    handlers: Sequence[tuple[str, type[RequestHandler]]] = ((r"/.*", Elsewhere),),
    everyone: bool = False,
    **changes: Any,
) -> AsyncIterator[tuple[Pool, Callable[..., Any]]]:
    """Serve by both doors; yields the pool of calls, and what connects a client.

    With a certificate, a file that also has its key, connections are encrypted. With ``everyone``,
    callers need no login. ``changes`` are those of the service's spec.
    """
    services = Services(**changes)
    state = make_state(services)
    services.everyone = everyone
    more = {STATE: state, "base_url": "/", "cookie_secret": "secret"}
    if everyone:
        more["identity_provider"] = ClusterIdentity()
    application = Application(list(handlers), **settings(**more))
    secure = {"certfile": str(certificate), "keyfile": str(certificate)} if certificate else None
    server = HTTPServer(application, ssl_options=secure)
    found = install(
        server,
        application,
        routes,
        state,
        limits or Inbound(),
        fast_path=fast_path,
    )
    services.pool.connections = found
    looking = asyncio.create_task(found.run())
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    clients: list[Client] = []

    async def connect(*, plain: bool = False) -> Client:
        port = sockets[0].getsockname()[1]
        context = None
        if certificate is not None and not plain:
            context = ssl.create_default_context(cafile=str(certificate))
            context.check_hostname = False
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", port, ssl=context)))
        return clients[-1]

    try:
        yield services.pool, connect
    finally:
        for client in clients:
            client.writer.transport.abort()
            with contextlib.suppress(OSError):  # the server may have closed it
                await client.writer.wait_closed()
        await asyncio.sleep(0.05)
        looking.cancel()
        server.stop()
        await server.close_all_connections()


def end(pending: CallHandle, body: bytes = b"1", media_type: str = "application/json") -> None:
    result = Result(id=pending.call.id, content_type=media_type, seconds=0.001)
    pending.answer(CallResult(result=result, body=body))
