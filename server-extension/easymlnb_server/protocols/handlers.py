"""The base of the handlers of other protocols."""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from jupyter_server.utils import origin_matches_pat

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, Forbidden, NotLoggedIn
from easymlnb_server.calls import options
from easymlnb_server.calls.handlers import VERSION
from easymlnb_server.calls.invoker import Invocation, settle
from easymlnb_server.calls.models import CallRequest, EventSink
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import KEY_HEADER
from easymlnb_server.http.spooled_body import SpooledBodyHandler
from easymlnb_server.uploads.handlers import owner_of


class ProtocolHandler(SpooledBodyHandler):
    """A handler of another protocol: it makes calls and stops them when the caller disconnects.

    Callers send a token or an API key in a header, unless the server trusts its cluster. A login
    cookie is ignored, so no page of another site can call in a user's name.
    """

    def initialize(self) -> None:
        super().initialize()
        self._invocations: set[Invocation] = set()
        self._answering = ""

    def set_default_headers(self) -> None:
        """Name the version that answers; Tornado sets these headers again for an error."""
        super().set_default_headers()
        if answering := getattr(self, "_answering", ""):
            self.set_header(VERSION, answering)

    async def _identify(self) -> Any:
        headers = self.request.headers
        if "Cookie" in headers:
            del headers["Cookie"]
        sent = "Authorization" in headers or KEY_HEADER in headers
        if not sent and not self.state.services.everyone:
            return None
        return await super()._identify()

    async def before_body(self) -> None:
        """Refuse requests of pages of other origins, unless the server allows them."""
        origin, pattern = self.request.headers.get("Origin"), self.allow_origin_pat
        if origin is None or is_same_origin(origin, self.request.host):
            return
        if self.allow_origin:
            allowed = self.allow_origin in ("*", origin)
        else:
            allowed = origin_matches_pat(pattern or "", origin)
        if not allowed:
            raise Forbidden(
                f"Pages of {origin[:200]!r} may not use this server. Set ServerApp.allow_origin to "
                "allow them."
            )

    def accept_visitors(self, service: str) -> None:
        """Accept callers without credentials if ``service`` is public, else refuse them."""
        if not service or not self.state.services.public(service):
            raise NotLoggedIn
        self.is_visitor = True

    def call_request(
        self, service: str, body: Body, content_type: str = "application/json", **fields: Any
    ) -> CallRequest:
        """Return the call of a service with the options of this request's headers.

        ``fields`` are fields of a ``CallRequest``. Raises ``BadRequest`` or ``Forbidden``.
        """
        headers, now = self.request.headers, time.monotonic()
        version = headers.get(VERSION, "").strip()
        if version and self.is_visitor:
            raise Forbidden("Visitors cannot choose the version that answers them.")
        common: dict[str, Any] = {
            "caller": self.caller,
            "owner": fields.get("owner") or owner_of(self),
            "request_id": self.request_id,
            "headers": headers,
            "received": now - self.request.request_time(),
            "began": now,
            "timeout": options.timeout(headers, float("inf")),
            "low_priority": options.is_low_priority(headers),
            "published_only": self.is_visitor,
            "version": version,
        }
        return CallRequest(
            service=service, body=body, content_type=content_type, **(common | fields)
        )

    async def invoke(self, request: CallRequest, sink: EventSink | None = None) -> CallResult:
        """Run a call to its end; raises why it is refused.

        A version that the request pins gets a worker first, if the caller may call the service.
        """
        state = self.state
        if request.version:
            state.invoker.find(request.service, request.caller)
            await state.services.wake(request.service, request.version)
        done: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        invocation = state.invoker.start(request, settle(done), sink)
        self._invocations.add(invocation)
        try:
            result = await self.wait(invocation, done)
        finally:
            self._invocations.discard(invocation)
        self.name_version(invocation.target.version)
        return result

    def name_version(self, version: str) -> None:
        """Name the version that answers, unless an event stream has begun."""
        self._answering = version
        if not self._headers_written:
            self.set_header(VERSION, version)

    async def wait(self, invocation: Invocation, done: "asyncio.Future[CallResult]") -> CallResult:
        """Wait for the result of a call; protocols with event streams report its progress."""
        return await done

    def stop(self, error: EasyMLNBError) -> None:
        """End the calls of this request with an error."""
        for invocation in tuple(self._invocations):
            invocation.stop(error)

    def acknowledge(self, size: int) -> None:
        """Note that the caller took ``size`` more bytes of a stream."""
        for invocation in self._invocations:
            invocation.acknowledge(size)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.stop(CallCancelled("The caller disconnected."))


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether a request's page, named by ``Origin``, is of the server itself."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
