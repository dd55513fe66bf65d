"""Who sends a call by gRPC, and the calls of services that it makes."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPServerRequest,
    RequestStartLine,
)
from tornado.web import Application

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, Forbidden, NotLoggedIn, TooLarge
from easymlnb.contract.worker_protocol import LARGE, Item, Progress
from easymlnb_server.calls import options
from easymlnb_server.calls.handlers import VERSION
from easymlnb_server.calls.invoker import Invocation, settle
from easymlnb_server.calls.models import MIN_TIMEOUT, CallRequest, Entry
from easymlnb_server.context import ServerContext
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import REQUEST_ID, EasyHandler
from easymlnb_server.http.fastpath.eligibility import Eligibility
from easymlnb_server.identity.access import Caller
from easymlnb_server.identity.grants import Scope
from easymlnb_server.protocols.oip import models
from easymlnb_server.protocols.oip.framing import Inference
from easymlnb_server.protocols.oip.handlers import MODELS, OipHandler
from easymlnb_server.protocols.oip.rpc import translation
from easymlnb_server.services.models import Target
from easymlnb_server.services.registry import Selection
from easymlnb_server.uploads.handlers import owner_of
from easymlnb_server.uploads.spool import SpooledFile

HEADERS = frozenset(
    (
        *("authorization", "x-api-key", "x-request-id", "x-timeout", "x-priority"),
        *("x-easymlnb-version", "traceparent", "tracestate"),
    )
)
"""Metadata that means the same as a header of a request."""


class _Connection(HTTPConnection):
    """The part of a connection that a handler uses before it writes."""

    class context:
        remote_ip = ""
        protocol = "http"

    def set_close_callback(self, callback: Any) -> None:
        """Do nothing: gRPC cancels the call's task."""


class _LoginHandler(OipHandler):
    """Identifies who sends a call, as every handler does; it never writes a response."""

    key_scopes: ClassVar = {"POST": MODELS}

    def on_anonymous(self) -> None:
        raise NotLoggedIn


class Login:
    """Finds out who sends a call, from its metadata."""

    def __init__(self, application: Application, state: ServerContext) -> None:
        self._application = application
        self._state = state
        self._eligibility = Eligibility(state, application.settings)

    def find(self, metadata: Any) -> "Sender | None":
        """Return the sender, if that is known without a request to the Hub."""
        headers = _headers(metadata)
        known = None
        with contextlib.suppress(EasyMLNBError):
            known = self._eligibility.find_caller(headers)
        if known is None:
            return None
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.match(given) else uuid.uuid4().hex
        return Sender(self._state, known.caller, known.owner, request_id, headers)

    async def identify(self, metadata: Any) -> "Sender":
        """Return the sender; raises ``NotLoggedIn``, ..."""
        headers = _headers(metadata)
        request = HTTPServerRequest(
            start_line=RequestStartLine("POST", "/", "HTTP/1.1"),
            headers=HTTPHeaders(headers),
            connection=_Connection(),
        )
        handler = _LoginHandler(self._application, request)
        handler.path_args, handler.path_kwargs = [], {}
        await EasyHandler.prepare(handler)
        if handler.caller is None:
            raise NotLoggedIn
        return Sender(self._state, handler.caller, owner_of(handler), handler.request_id, headers)


def _headers(metadata: Any) -> dict[str, str]:
    headers = {"host": "localhost"}
    for name, value in metadata or ():
        if name in HEADERS and isinstance(value, str):
            headers[name] = value
    return headers


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends calls. ``owner`` is the key of their owner; ``headers`` have lower-case names."""

    state: ServerContext
    caller: Caller
    owner: str
    request_id: str
    headers: Mapping[str, str]

    async def record(self, action: str, target: str) -> None:
        """Record an event of the sender in the audit log."""
        await self.state.audit.record(
            action, target, caller=self.caller, request_id=self.request_id
        )

    async def infer(self, request: Any, left: float | None, items: "Items | None" = None) -> Any:
        """Return the response to a request.

        ``left`` are the seconds until the caller's deadline. With ``items``, those of a streaming
        service go there, and the response is ``None``.
        """
        received = time.monotonic()
        body, inference = translation.to_body(request)
        await self._admit(request, len(body), streams=items is not None)
        spooled = await self._spooled(body)
        call = self._call(request, spooled, inference, left, received)
        done: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        try:
            if call.version:
                await self.state.services.wake(call.service, call.version)
            invocation = self.state.invoker.start(call, settle(done), items)
            if items is not None:
                items.invocation = invocation
            try:
                result = await done
            except asyncio.CancelledError:
                invocation.stop(CallCancelled())
                raise
        finally:
            if isinstance(spooled, FileBody) and spooled.file is not None:
                spooled.file.close()
        return await _response(result, invocation.target, inference.id)

    def _call(
        self, request: Any, body: Body, inference: Inference, left: float | None, received: float
    ) -> CallRequest:
        headers = HTTPHeaders(self.headers)
        limit = min(inference.timeout, float("inf") if left is None else left)
        return CallRequest(
            service=request.model_name,
            body=body,
            content_type=inference.content_type,
            accept=inference.accept,
            caller=self.caller,
            owner=self.owner,
            request_id=self.request_id,
            headers=headers,
            received=received,
            began=time.monotonic(),
            timeout=max(options.timeout(headers, limit), MIN_TIMEOUT),
            low_priority=inference.low_priority or options.is_low_priority(headers),
            entry=Entry.OIP,
            version=request.model_version or headers.get(VERSION, "").strip(),
        )

    async def _admit(self, request: Any, size: int, *, streams: bool) -> None:
        """Raise why a call is refused before its body is stored."""
        key = self.caller.key
        if key is not None and Scope.CALL not in key.scopes:
            raise Forbidden(f"This API key lacks the scope {str(Scope.CALL)!r}.")
        name, version, invoker = request.model_name, request.model_version, self.state.invoker
        spec = invoker.find(name, self.caller).spec
        if version:
            await self.state.services.wake(name, version)
            spec = invoker.find(name, self.caller, selection=Selection(version=version)).spec
        models.check_plain(spec, stream=streams)
        limit = self.state.quotas.max_body(spec.name, self.caller, spec.max_body)
        if size > limit:
            raise TooLarge(f"The request of {size:,} bytes is over the limit of {limit:,} bytes.")

    async def _spooled(self, body: bytes) -> Body:
        if len(body) <= LARGE:
            return body
        file = self.state.spool.create(len(body))
        await asyncio.to_thread(file.write, body)
        return FileBody(file=file)


async def _response(result: CallResult, target: Target, id: str) -> Any:
    """Return the message of a result; ``None`` after the items of a stream."""
    if result.error is not None:
        raise result.error
    assert result.result is not None
    if target.spec.stream:
        return None
    body = result.body
    if isinstance(body, SpooledFile):
        try:
            data = await asyncio.to_thread(body.read)
        finally:
            body.close()
    else:
        data = body
    return translation.to_response(
        result.result.content_type, data, target.name, target.version, id
    )


class Items:
    """The ``EventSink`` of a stream: its items as responses, as fast as the caller takes them."""

    def __init__(self, id: str) -> None:
        self._id = id
        self._target: Target | None = None
        self.invocation: Invocation | None = None
        self.queue: asyncio.Queue[tuple[Any, int] | None] = asyncio.Queue()

    def on_accepted(self, target: Target) -> None:
        """Note the version that answers."""
        self._target = target

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Keep an item until the caller takes it."""
        if isinstance(message, Item) and self._target is not None:
            target = self._target
            response = translation.item_response(body, target.name, target.version, self._id)
            self.queue.put_nowait((response, len(body)))

    def acknowledge(self, size: int) -> None:
        """Note that the caller took an item of ``size`` bytes."""
        if self.invocation is not None:
            self.invocation.acknowledge(size)
