"""Where kernels connect: workers with a one-time secret, live kernels with the server's."""

import asyncio
import contextlib
import hmac
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any, cast

from tornado import web, websocket
from tornado.ioloop import PeriodicCallback

from easymlnb.contract import installation
from easymlnb.contract.errors import EasyMLNBError, NotLoggedIn, VersionMismatch
from easymlnb.contract.service_call_protocol import CallService, CancelServiceCall, DescribeService
from easymlnb.contract.worker_protocol import (
    PROTOCOL_HEADER,
    VERSION_HEADER,
    Failure,
    Hello,
    Item,
    NotStarted,
    Progress,
    Register,
    Registered,
    RegistrationRefused,
    Result,
    SharedFilesystem,
    ToServer,
    Unregister,
    Welcome,
    unpack_to_server,
)
from easymlnb_server.calls.service_calls import ServiceCalls
from easymlnb_server.context import STATE, ServerContext
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.http.base import decides_itself
from easymlnb_server.http.websocket import KernelSocketHandler, SocketWebSocket
from easymlnb_server.openapi.document import Operation, ok
from easymlnb_server.uploads.spool import KernelFileShare
from easymlnb_server.workers.registration import ExpectedWorker, RegisteredWorker

HEARTBEAT = 15.0
"""Seconds between two pings to a kernel."""

SILENCE = 3
"""Heartbeats without a word after which a kernel that runs no call is taken for dead."""

RELAYED = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip")
"""Headers by which proxies tell of themselves."""

REFUSAL = (
    "Only workers that this service started can connect here. Live services run on their "
    "author's own server; publish the notebook to run it here."
)

log = logging.getLogger("easymlnb.link")


class LinkHandler(KernelSocketHandler):
    """One kernel's link. Its secret, not a login, is what lets it in; browsers are not served."""

    def initialize(self) -> None:
        self._link: WorkerLink | None = None
        self._arrival: ExpectedWorker | None = None
        self._room: KernelFileShare | None = None
        self._asks: ServiceCalls | None = None
        self._outbox: list[bytes] = []
        self._given_up = False
        self._heart = PeriodicCallback(self._beat, HEARTBEAT * 1000)
        self._unheard = 0
        self._takers: dict[type, Callable[[Any, bytes], None]] = {
            Result: self._on_event,
            Failure: self._on_event,
            Progress: self._on_event,
            Item: self._on_event,
            NotStarted: self._on_event,
            Hello: self._on_hello,
            SharedFilesystem: self._on_shares,
            CallService: self._on_ask,
            DescribeService: self._on_ask,
            CancelServiceCall: self._on_ask,
            Register: self._on_offer,
            Unregister: self._on_withdraw,
        }

    @property
    def state(self) -> ServerContext:
        return cast("ServerContext", self.settings[STATE])

    @decides_itself  # by the kernel's own secret
    async def get(self, *args: Any, **kwargs: Any) -> None:
        if "Origin" in self.request.headers:
            # Only browsers send it, and no browser has business here, not even with a page of ours.
            raise web.HTTPError(403)
        scheme, _, secret = self.request.headers.get("Authorization", "").partition(" ")
        if scheme != "easymlnb" or not self._admit(secret):
            self._refuse()
            return
        if skew := self._skew():
            log.error("%s", skew)
            self._answer(VersionMismatch(skew))
            return
        await super().get(*args, **kwargs)

    def _skew(self) -> str:
        headers = self.request.headers
        version, protocol = headers.get(VERSION_HEADER, ""), headers.get(PROTOCOL_HEADER, "")
        return installation.version_skew("The kernel", version[:40], protocol[:10])

    def _refuse(self) -> None:
        self._answer(NotLoggedIn(REFUSAL) if self.state.services.shared else NotLoggedIn())

    def _answer(self, error: EasyMLNBError) -> None:
        self.set_status(error.status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(error.to_dict(uuid.uuid4().hex)))

    def _admit(self, secret: str) -> bool:
        if self.state.services.shared:
            self._arrival = self.state.registration.claim(secret)
            return self._arrival is not None
        if hmac.compare_digest(secret.encode(), self.state.secret.encode()):
            return True
        self._arrival = self.state.registration.claim(secret)
        return self._arrival is not None

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        if not isinstance(self.ws_connection, SocketWebSocket):
            assert self.ws_connection is not None
            _read_to_the_end(self.ws_connection.stream)
        self._heart.start()

    def _beat(self) -> None:
        """Give a silent kernel up; but C code that holds the GIL is silent too, while it works.

        So as long as a call is out its deadline decides, and after it whether the call stops. Beats
        are counted, not seconds: it is not the kernel's silence when this server stood still.
        """
        if self._unheard >= SILENCE and not (self._link is not None and len(self._link)):
            log.warning("A kernel missed %d heartbeats; its connection is closed.", self._unheard)
            self._heart.stop()
            self._given_up = True
            self.close(1001)
            return
        self._unheard += 1
        with contextlib.suppress(websocket.WebSocketClosedError):
            self.ping()

    def on_pong(self, data: bytes) -> None:
        self._unheard = 0

    def on_message(self, message: str | bytes) -> None:
        self._unheard = 0
        try:
            with (
                self._link.deferred_results()
                if self._link is not None
                else contextlib.nullcontext()
            ):
                for frame, body in unpack_to_server(cast("bytes", message)):
                    self._takers[type(frame)](frame, body)
                self._flush()
        except (ValueError, TypeError, AttributeError) as error:
            log.error("A kernel sent an invalid frame; its connection is closed: %s", error)
            self._given_up = True
            self.close(1002)

    def on_close(self) -> None:
        self._heart.stop()
        if self._room is not None:
            self._room.close()
        if self._asks is not None:
            self._asks.close()
        if self._link is not None:
            broken = self.close_code is None and not self._given_up
            self._link.close(by_kernel=broken and not self._relayed)
            self.state.live.drop(self._link)

    @property
    def _relayed(self) -> bool:
        """Whether a proxy passes the link on; as it ends, answers may be lost that were sent."""
        return any(header in self.request.headers for header in RELAYED)

    def _write(self, data: bytes) -> None:
        """Send with all that is written in this turn of the event loop, as one message."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(data)

    def _flush(self) -> None:
        if not self._outbox:
            return
        data, self._outbox = b"".join(self._outbox), []
        if self.ws_connection is not None and not self.ws_connection.is_closing():
            try:
                self.write_message(data, binary=True)
            except websocket.WebSocketClosedError:
                log.debug("A kernel disconnected during a write.")

    def _on_event(self, frame: ToServer, body: bytes) -> None:
        if self._link is not None:
            self._link.receive(cast("Result | Failure | Progress | Item | NotStarted", frame), body)

    def _on_hello(self, hello: Hello, body: bytes) -> None:
        if self._link is not None:
            raise ValueError("The kernel sent a second hello message.")
        if hello.live is (self._arrival is not None):
            log.error("A kernel connected with a secret of the wrong kind.")
            self.close(1002)
            return
        self._link = WorkerLink(hello, self._write)
        owner = self._arrival.owner if self._arrival is not None else ""
        self._asks = ServiceCalls(self.state.invoker, self.state.users, self._link, owner)
        self._room = self.state.spool.open_file_share()
        self._link.send(Welcome(probe=str(self._room.probe) if self._room else ""))

    def _on_shares(self, shares: SharedFilesystem, body: bytes) -> None:
        if self._link is not None and self._room is not None and self._room.is_proof(shares.proof):
            self._link.file_share = self._room

    def _on_ask(
        self, frame: CallService | DescribeService | CancelServiceCall, body: bytes
    ) -> None:
        if self._asks is not None:
            self._asks.take(frame, body)

    def _on_offer(self, offer: Register, body: bytes) -> None:
        link = self._link
        if link is None:
            return
        if self._arrival is not None:
            if not self._arrival.done():
                self._arrival.set_result(RegisteredWorker(link, offer.specs))
            return
        taken = []
        for spec in offer.specs:
            try:
                self.state.live.offer(link, spec)
                taken.append(spec.name)
            except EasyMLNBError as error:
                link.send(RegistrationRefused(name=spec.name, message=error.message))
        link.send(Registered(names=tuple(taken)))

    def _on_withdraw(self, withdraw: Unregister, body: bytes) -> None:
        for name in withdraw.names:
            if self._link is not None:
                self.state.live.withdraw(self._link, name)


def _read_to_the_end(stream: Any) -> None:
    """Keep a failed write from closing a stream before what the kernel sent last is read.

    By a dead worker's last answers we know which calls it has begun.
    """
    write = stream.write_to_fd

    def write_if_anybody_listens(data: memoryview) -> Any:
        try:
            return write(data)
        except ConnectionError:
            return len(data)  # reading comes to the end of it next, and closes the stream

    stream.write_to_fd = write_if_anybody_listens


OPERATIONS = {
    "GET /link": Operation(
        "openLink",
        "The WebSocket that kernels connect to",
        ok("Switched to a WebSocket.", {}, 101),
        (400, 404, 503),
        tag="Health",
    ),
}
