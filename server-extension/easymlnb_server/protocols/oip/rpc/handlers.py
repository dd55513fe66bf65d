"""The calls of the protocol over gRPC, each with the checks of a request by HTTP."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import grpc
import grpc.aio
import msgspec
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPServerRequest,
    RequestStartLine,
)
from tornado.web import Application

from easymlnb.contract.errors import (
    BadRequest,
    CallCancelled,
    EasyMLNBError,
    Forbidden,
    InternalError,
    NotLoggedIn,
)
from easymlnb.contract.worker_protocol import LARGE
from easymlnb_server.calls import options
from easymlnb_server.calls.handlers import VERSION
from easymlnb_server.calls.invoker import settle
from easymlnb_server.calls.models import MIN_TIMEOUT, CallRequest, Entry
from easymlnb_server.context import ServerContext
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import NO_KEYS, REQUEST_ID, EasyHandler
from easymlnb_server.http.fastpath.eligibility import Eligibility
from easymlnb_server.identity.access import Caller
from easymlnb_server.identity.grants import Scope
from easymlnb_server.protocols.oip import models
from easymlnb_server.protocols.oip.framing import Inference
from easymlnb_server.protocols.oip.handlers import MODELS, OipHandler
from easymlnb_server.protocols.oip.rpc import translation
from easymlnb_server.protocols.oip.rpc.codes import code_of
from easymlnb_server.protocols.oip.rpc.messages import SERVICE, message, methods, reader
from easymlnb_server.protocols.oip.rpc.results import ItemStream, to_message
from easymlnb_server.services.registry import Selection
from easymlnb_server.uploads.handlers import owner_of

OPEN = frozenset(("ServerLive", "ServerReady"))
"""Calls without a login, as probes have none."""

STREAMS = "ModelStreamInfer"

log = logging.getLogger("easymlnb.requests")

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

    def find(self, metadata: Any) -> "RpcCaller | None":
        """Return the sender, if that is known without a request to the Hub."""
        headers = _headers(metadata)
        known = None
        with contextlib.suppress(EasyMLNBError):
            known = self._eligibility.find_caller(headers)
        if known is None:
            return None
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.match(given) else uuid.uuid4().hex
        return RpcCaller(self._state, known.caller, known.owner, request_id, headers)

    async def identify(self, metadata: Any) -> "RpcCaller":
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
        return RpcCaller(
            self._state, handler.caller, owner_of(handler), handler.request_id, headers
        )


def _headers(metadata: Any) -> dict[str, str]:
    headers = {"host": "localhost"}
    for name, value in metadata or ():
        if name in HEADERS and isinstance(value, str):
            headers[name] = value
    return headers


@dataclass(frozen=True, slots=True)
class RpcCaller:
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

    async def infer(self, request: Any, left: float | None, items: ItemStream | None = None) -> Any:
        """Return the response to a request.

        ``left`` are the seconds until the caller's deadline. With ``items``, those of a streaming
        service go there, and the response is ``None``.
        """
        received = time.monotonic()
        limit = await self._admit(request, streams=items is not None)
        body, inference = await translation.body_of(request, limit)
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
        return await to_message(result, invocation.target, inference.id)

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
            version=self._version(request),
        )

    def _version(self, request: Any) -> str:
        found: str = request.model_version or self.headers.get(VERSION.lower(), "").strip()
        return found

    async def _admit(self, request: Any, *, streams: bool) -> int:
        """Return the limit of the body; raises why a call is refused before its body is made."""
        key = self.caller.key
        if key is not None and Scope.CALL not in key.scopes:
            raise Forbidden(f"This API key lacks the scope {str(Scope.CALL)!r}.")
        name, version, invoker = request.model_name, self._version(request), self.state.invoker
        spec = invoker.find(name, self.caller).spec
        if version:
            await self.state.services.wake(name, version)
            spec = invoker.find(name, self.caller, selection=Selection(version=version)).spec
        models.check_plain(spec, stream=streams)
        return self.state.quotas.max_body(spec.name, self.caller, spec.max_body)

    async def _spooled(self, body: bytes) -> Body:
        if len(body) <= LARGE:
            return body
        file = self.state.spool.create(len(body))
        await asyncio.to_thread(file.write, body)
        return FileBody(file=file)


Unary = Callable[[RpcCaller, Any, Any], Awaitable[Any]]
"""A call with one request and one response."""


@dataclass(frozen=True, slots=True)
class _Method:
    """A call of the protocol, and how its messages are read and written."""

    name: str
    run: Any
    kinds: dict[str, Any]


class InferenceService(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """The calls of the protocol by their names; senders are known before messages are read."""

    def __init__(self, application: Application, state: ServerContext) -> None:
        self._login = Login(application, state)
        self._state = state
        self._methods = {
            f"/{SERVICE}/{one.name}": _Method(
                one.name,
                getattr(self, one.name),
                {
                    "request_deserializer": reader(one.input_type.name),
                    "response_serializer": message(one.output_type.name).SerializeToString,
                },
            )
            for one in methods()
        }

    def service(self, details: Any) -> Any:
        """Return the handler of a call; ``None`` for an unknown one."""
        method = self._methods.get(details.method)
        if method is None:
            return None
        if method.name in OPEN:
            return grpc.unary_unary_rpc_method_handler(method.run, **method.kinds)
        sender = self._login.find(details.invocation_metadata)
        if method.name == STREAMS:
            return grpc.stream_stream_rpc_method_handler(
                partial(self._streams, sender, method.run), **method.kinds
            )
        if sender is not None:
            return grpc.unary_unary_rpc_method_handler(
                partial(_guarded, method.run, sender), **method.kinds
            )
        return grpc.stream_unary_rpc_method_handler(
            partial(self._identified, method.run), **method.kinds
        )

    async def _identified(self, run: Unary, requests: AsyncIterator[Any], context: Any) -> Any:
        """Run a call with one request, which is read once its sender is known."""
        try:
            sender = await self._login.identify(context.invocation_metadata())
        except Exception as error:
            await _abort(context, error)
            return None
        async for request in requests:
            return await _guarded(run, sender, request, context)
        await _abort(context, BadRequest("The call has no request."))
        return None

    async def _streams(
        self, sender: RpcCaller | None, run: Any, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        if sender is None:
            try:
                sender = await self._login.identify(context.invocation_metadata())
            except Exception as error:
                await _abort(context, error)
                return
        async for response in run(sender, requests, context):
            yield response

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return message("ServerReadyResponse")(ready=self._state.ready)

    async def ServerMetadata(self, sender: RpcCaller, request: Any, context: Any) -> Any:
        about = models.ServerMetadata.of(sender.caller)
        return message("ServerMetadataResponse")(
            name=about.name, version=about.version, extensions=about.extensions
        )

    async def ModelReady(self, sender: RpcCaller, request: Any, context: Any) -> Any:
        await self._state.oip.describe(request.name, sender.caller, request.version)
        ready = self._state.oip.answers(request.name, sender.caller)
        return message("ModelReadyResponse")(ready=ready)

    async def ModelMetadata(self, sender: RpcCaller, request: Any, context: Any) -> Any:
        _, found = await self._state.oip.describe(request.name, sender.caller, request.version)
        return translation.to_metadata(found)

    async def ModelInfer(self, sender: RpcCaller, request: Any, context: Any) -> Any:
        return await sender.infer(request, context.time_remaining())

    async def ModelStreamInfer(
        self, sender: RpcCaller, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        """Answer one request after another; a request that fails does not end the stream."""
        kind = message("ModelStreamInferResponse")
        async for request in requests:
            try:
                if isinstance(request, BadRequest):
                    raise request
                async for response in _responses(sender, request, context):
                    yield kind(infer_response=response)
            except EasyMLNBError as error:
                id = getattr(request, "id", "")
                yield kind(error_message=error.message, infer_response={"id": id})
            except Exception as error:
                log.error("failed", exc_info=error)
                yield kind(error_message=InternalError().message)

    async def ModelStatistics(self, sender: RpcCaller, request: Any, context: Any) -> Any:
        if sender.caller.key is not None:
            raise Forbidden(NO_KEYS)
        found = self._state.oip.statistics(sender.caller, request.name, request.version)
        made = [translation.to_statistics(one) for one in found.model_stats]
        return message("ModelStatisticsResponse")(model_stats=made)

    async def RepositoryIndex(self, sender: RpcCaller, request: Any, context: Any) -> Any:
        states = self._state.oip.index(sender.caller, ready=request.ready)
        found = [msgspec.to_builtins(one) for one in states]
        return message("RepositoryIndexResponse")(models=found)

    async def RepositoryModelLoad(self, sender: RpcCaller, request: Any, context: Any) -> Any:
        await self._state.oip.load(request.model_name, sender.caller)
        await sender.record("model.load", request.model_name)
        return message("RepositoryModelLoadResponse")()

    async def RepositoryModelUnload(self, sender: RpcCaller, request: Any, context: Any) -> Any:
        self._state.oip.unload(request.model_name, sender.caller)
        await sender.record("model.unload", request.model_name)
        return message("RepositoryModelUnloadResponse")()


async def _guarded(run: Unary, sender: RpcCaller, request: Any, context: Any) -> Any:
    """Run a call; an error of ours becomes one of gRPC."""
    try:
        if isinstance(request, BadRequest):
            raise request
        return await run(sender, request, context)
    except Exception as error:
        await _abort(context, error)


async def _abort(context: Any, error: Exception) -> None:
    if not isinstance(error, EasyMLNBError):
        log.error("failed", exc_info=error)
        error = InternalError()
    await context.abort(code_of(error), error.message)


async def _responses(sender: RpcCaller, request: Any, context: Any) -> AsyncIterator[Any]:
    """Yield the response to a request, or one for each item of a streaming service."""
    items = ItemStream(request.id)
    work = asyncio.ensure_future(sender.infer(request, context.time_remaining(), items))
    work.add_done_callback(lambda _: items.queue.put_nowait(None))
    try:
        while (item := await items.queue.get()) is not None:
            response, size = item
            yield response
            items.acknowledge(size)
        last = work.result()
        if last is not None:
            yield last
    finally:
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
