"""The routes of app pages, in place of those of a Jupyter kernel: the visitor's own session.

The id of a session is no credential: each route also identifies the visitor.
"""

import asyncio
import logging
import re
import secrets
from datetime import UTC, datetime
from typing import Any

from jupyter_server.base.websocket import WebSocketMixin
from tornado import websocket
from tornado.iostream import StreamClosedError
from websockets.frames import Frame, Opcode

from easymlnb.contract.errors import Draining, RouteNotFound
from easymlnb_server.apps import jupyter_messages
from easymlnb_server.apps.comm_channel import MAX_UNSENT, Channel, TooMuchError
from easymlnb_server.apps.sessions import PageSession, Visitor
from easymlnb_server.http.base import EasyHandler, custom_access_check
from easymlnb_server.http.connections import network_of
from easymlnb_server.identity.access import Action

COOKIE = "easymlnb-visitor"
COOKIE_VALUE = re.compile(rb"[A-Za-z0-9_-]{20,64}\Z")

PING = 30.0
"""Seconds between two pings, and until a page that does not answer is disconnected."""

log = logging.getLogger("easymlnb.apps")


class VisitorHandler(EasyHandler):
    """Base: identifies visitors by a cookie, in addition to the login.

    ``public`` comes from the route.
    """

    def initialize(self, public: bool = False) -> None:
        super().initialize()
        self._public = public

    def on_anonymous(self) -> None:
        if not self._public:
            super().on_anonymous()

    def visitor(self) -> Visitor | None:
        """Return the visitor; None for a browser that has opened no page yet."""
        value = self.get_signed_cookie(COOKIE)
        if value is None or not COOKIE_VALUE.match(value):
            return None
        return self._visitor(value.decode())

    def new_visitor(self, path: str) -> Visitor:
        """Give a new browser its cookie, valid below ``path`` of this server."""
        value = secrets.token_urlsafe(24)
        self.set_signed_cookie(
            COOKIE,
            value,
            expires_days=None,
            path=path,
            httponly=True,
            samesite="Lax",
            secure=self.request.protocol == "https",
        )
        return self._visitor(value)

    def _visitor(self, id: str) -> Visitor:
        return Visitor(id, self._user_name(), network_of((self.request.remote_ip,)))

    def _user_name(self) -> str:
        user = self.current_user
        if self._public or user is None:
            return ""
        if self.state.services.shared:
            return self.caller.name if self.caller is not None else ""
        # With a token Jupyter makes up a user for each request; only the cookie identifies them.
        return "" if self.token_authenticated else str(user.username)


class SessionHandler(VisitorHandler):
    """Base: finds the visitor's session."""

    def session(self, service: str, name: str) -> PageSession:
        """Return the visitor's session; raises ``RouteNotFound`` if they have none of this id."""
        services = self.state.services
        caller = None if self._public else self.caller
        if services.shared and not services.allows(caller, service, Action.CALL):
            raise RouteNotFound
        session = self.state.apps.sessions.get(name, service, self.visitor())
        if session is None or session.public is not self._public:
            raise RouteNotFound
        return session


class KernelHandler(SessionHandler):
    """``GET api/kernels/{id}``: whether the session still exists."""

    @custom_access_check
    def get(self, service: str, name: str) -> None:
        if self.state.services.draining:
            raise Draining  # the page asks again and reaches the next server
        self.session(service, name)
        now = datetime.now(UTC).isoformat()
        state = {"execution_state": "idle", "connections": 1, "last_activity": now}
        self.write_json({"id": name, "name": "easymlnb", **state})


class LeaveHandler(SessionHandler):
    """``POST leave/{id}``: the visitor closed the page."""

    audited = False

    @custom_access_check
    def post(self, service: str, name: str) -> None:
        self.state.apps.sessions.close(self.session(service, name))
        self.set_status(204)
        self.finish()


class ChannelsHandler(WebSocketMixin, websocket.WebSocketHandler, SessionHandler):
    """``GET api/kernels/{id}/channels``: the WebSocket of a page."""

    _channel: Channel | None = None

    def initialize(self, public: bool = False) -> None:
        super().initialize(public)
        self._frames: list[bytes] = []  # to write at the end of this turn of the event loop
        self._unsent = 0

    @property
    def max_message_size(self) -> int:
        return self.state.apps.message_limit

    @property
    def ping_interval(self) -> float:
        return PING

    @property
    def ping_timeout(self) -> float:
        return PING

    def get_compression_options(self) -> None:
        return None

    def set_default_headers(self) -> None:
        """The response to a WebSocket handshake needs no headers of a page."""

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return jupyter_messages.V1 if jupyter_messages.V1 in subprotocols else None

    @custom_access_check
    async def get(self, *args: Any, **kwargs: Any) -> None:
        self.session(*self.path_args)
        await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        # Otherwise each small message waits 40 ms for the acknowledgement of the previous one.
        self.set_nodelay(True)
        session = self.session(*self.path_args)
        channel = self._channel = Channel(
            session,
            self._write,
            v1=self.selected_subprotocol == jupyter_messages.V1,
            max_bytes=self.max_message_size,
        )
        self.state.apps.sessions.connect(session, channel.to_page, lambda: self.close(1001))

    def on_message(self, message: str | bytes) -> None:
        if self._channel is None:
            return
        try:
            self._channel.on_page_message(message)
        except (TooMuchError, ValueError) as error:
            log.warning(
                "Closed the connection of a page of %s: %r", self._channel.session.service, error
            )
            connection = self.ws_connection
            self.close(1008)
            if connection is not None:
                # Otherwise Tornado would read until the page has answered, or for 5 s.
                connection.client_terminated = True

    def on_close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            self.state.apps.sessions.disconnect(channel.session, channel.to_page)

    def _write(self, data: str | bytes) -> None:
        """Send a message, together with those that come at the same time.

        A click is answered by twenty messages. Tornado takes a task and a system call for each.
        """
        if self.ws_connection is None or self.ws_connection.is_closing():
            return
        if isinstance(data, str):
            frame = Frame(Opcode.TEXT, data.encode()).serialize(mask=False)
        else:
            frame = Frame(Opcode.BINARY, data).serialize(mask=False)
        self._unsent += len(frame)
        if self._unsent > MAX_UNSENT:
            self.close(1013)
            return
        if not self._frames:
            asyncio.get_running_loop().call_soon(self._flush)
        self._frames.append(frame)

    def _flush(self) -> None:
        data, self._frames = b"".join(self._frames), []
        connection = self.ws_connection
        if connection is None or connection.stream is None or connection.is_closing():
            return
        try:
            written = connection.stream.write(data)
        except StreamClosedError:
            return

        def done(future: Any) -> None:
            self._unsent -= len(data)
            future.exception()  # The page is gone, so the exception is expected.

        written.add_done_callback(done)
