"""The calls of the protocol over gRPC, each with the checks of a request by HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar

import grpc
import grpc.aio
import msgspec
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPServerRequest
from tornado.web import Application

from easymlnb.contract.errors import (
    CallCancelled,
    EasyMLNBError,
    Forbidden,
    InternalError,
    NotLoggedIn,
    TooLarge,
)
from easymlnb.contract.worker_protocol import LARGE, Item, Progress
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import Entry
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.grants import Scope
from easymlnb_server.protocols.oip import models
from easymlnb_server.protocols.oip.handlers import MODELS, OipHandler
from easymlnb_server.protocols.oip.rpc import translation
from easymlnb_server.protocols.oip.rpc.codes import code_of
from easymlnb_server.protocols.oip.rpc.messages import SERVICE, message, methods
from easymlnb_server.services.models import Target
from easymlnb_server.services.registry import Selection
from easymlnb_server.uploads.spool import SpooledFile

OPEN = frozenset((f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady"))
"""Calls without a login, as probes have none."""

HEADERS = frozenset(
    (
        *("authorization", "x-api-key", "x-request-id", "x-timeout", "x-priority"),
        *("x-easymlnb-version", "traceparent", "tracestate"),
    )
)
"""Metadata that means the same as a header of a request."""

log = logging.getLogger("easymlnb.requests")

Call = Callable[[Any, Any], Any]


class _Connection(HTTPConnection):
    """The part of a connection that a handler uses before it writes."""

    class context:
        remote_ip = ""
        protocol = "http"

    def set_close_callback(self, callback: Any) -> None:
        """Do nothing: gRPC cancels the call's task."""


class RpcHandler(OipHandler):
    """Who sends a call, and the calls of services that it makes; it never writes a response."""

    key_scopes: ClassVar = {"POST": MODELS}
    _ran: Invocation

    @classmethod
    async def login(cls, application: Application, metadata: Any) -> "RpcHandler":
        """Return the sender of a call; raises ``NotLoggedIn``, ..."""
        headers = HTTPHeaders({"Host": "localhost"})
        for name, value in metadata or ():
            if name in HEADERS and isinstance(value, str):
                headers[name] = value
        request = HTTPServerRequest(
            method="POST", uri="/", headers=headers, connection=_Connection()
        )
        handler = cls(application, request)
        handler.path_args, handler.path_kwargs = [], {}
        await EasyHandler.prepare(handler)
        return handler

    def on_anonymous(self) -> None:
        raise NotLoggedIn

    async def infer(self, request: Any, left: float | None, stream: "_Items | None" = None) -> Any:
        """Return the response to a request.

        ``left`` are the seconds until the caller's deadline. With ``stream``, items of a streaming
        service go there, and the response is ``None``.
        """
        name, version = request.model_name, request.model_version
        body, inference = translation.to_body(request)
        await self._admit(name, version, len(body), streams=stream is not None)
        spooled = await self._spooled(body)
        call = self.call_request(
            name,
            spooled,
            inference.content_type,
            accept=inference.accept,
            entry=Entry.OIP,
            low_priority=inference.low_priority,
        )
        pinned = version or call.version
        limit = min(call.timeout, inference.timeout, float("inf") if left is None else left)
        call = msgspec.structs.replace(call, timeout=max(limit, 0.001), version=pinned)
        try:
            result = await self.invoke(call, stream)
        except asyncio.CancelledError:
            self.stop(CallCancelled())
            raise
        finally:
            if isinstance(spooled, FileBody) and spooled.file is not None:
                spooled.file.close()
        return await self._response(result, inference.id, stream)

    async def _admit(self, name: str, version: str, size: int, *, streams: bool) -> None:
        """Raise why a call is refused before its body is stored."""
        key = self.caller.key if self.caller is not None else None
        if key is not None and Scope.CALL not in key.scopes:
            raise Forbidden(f"This API key lacks the scope {str(Scope.CALL)!r}.")
        invoker = self.state.invoker
        invoker.find(name, self.caller)
        if version:
            await self.state.services.wake(name, version)
        spec = invoker.find(name, self.caller, selection=Selection(version=version)).spec
        if spec.stream and not streams:
            raise models.streams(name)
        limit = self.state.quotas.max_body(spec.name, self.caller, spec.max_body)
        if size > limit:
            raise TooLarge(f"The request of {size:,} bytes is over the limit of {limit:,} bytes.")

    async def _spooled(self, body: bytes) -> Body:
        if len(body) <= LARGE:
            return body
        file = self._new_file(len(body))
        await asyncio.to_thread(file.write, body)
        return FileBody(file=file)

    async def wait(self, invocation: Invocation, done: "asyncio.Future[CallResult]") -> CallResult:
        self._ran = invocation
        return await done

    async def _response(self, result: CallResult, id: str, stream: "_Items | None") -> Any:
        if result.error is not None:
            raise result.error
        assert result.result is not None
        target, body = self._ran.target, result.body
        if target.spec.stream:
            return None
        if isinstance(body, SpooledFile):
            try:
                body = await asyncio.to_thread(body.read)
            finally:
                result.body.close()  # type: ignore[union-attr]
        kind = result.result.content_type
        return translation.to_response(kind, body, target.name, target.version, id)


class _Items:
    """The ``EventSink`` of a stream: its items as responses, as fast as the caller takes them."""

    def __init__(self, id: str) -> None:
        self._id = id
        self._target: Target | None = None
        self.queue: asyncio.Queue[tuple[Any, int] | None] = asyncio.Queue()

    def on_accepted(self, target: Target) -> None:
        self._target = target

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        if isinstance(message, Item) and self._target is not None:
            target = self._target
            response = translation.item_response(body, target.name, target.version, self._id)
            self.queue.put_nowait((response, len(body)))


SENDER: ContextVar[RpcHandler] = ContextVar("easymlnb_sender")


class Login(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc has no types
    """Identifies the sender of a call before its message is read."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        if details.method not in OPEN:
            try:
                sender = await RpcHandler.login(self._application, details.invocation_metadata)
            except Exception as error:
                return await self._refusal(await continuation(details), error)
            SENDER.set(sender)
        return await continuation(details)

    async def _refusal(self, handler: Any, error: Exception) -> Any:
        """Return a handler that refuses the call in the way that it is made."""
        if handler is None:
            return None

        async def refuse(request: Any, context: Any) -> None:
            await _abort(context, error)

        make = grpc.unary_unary_rpc_method_handler
        if handler.request_streaming:
            make = grpc.stream_unary_rpc_method_handler
        return make(refuse)


async def _abort(context: Any, error: Exception) -> None:
    if not isinstance(error, EasyMLNBError):
        log.error("failed", exc_info=error)
        error = InternalError()
    await context.abort(code_of(error), error.message)


class InferenceService:
    """The calls of the protocol; their names are those of its service."""

    def __init__(self, application: Application, state: Any) -> None:
        self._application = application
        self._state = state

    def handlers(self) -> Any:
        """Return what a server of gRPC needs to know of all calls."""
        made = {}
        for method in methods():
            kinds = {
                "request_deserializer": message(method.input_type.name).FromString,
                "response_serializer": message(method.output_type.name).SerializeToString,
            }
            call = getattr(self, method.name)
            if method.name == "ModelStreamInfer":
                made[method.name] = grpc.stream_stream_rpc_method_handler(call, **kinds)
            else:
                guarded = partial(_guarded, call)
                made[method.name] = grpc.unary_unary_rpc_method_handler(guarded, **kinds)
        return grpc.method_handlers_generic_handler(SERVICE, made)

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        ready = self._state.ready
        return message("ServerReadyResponse")(ready=ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        about = models.ServerMetadata()
        return message("ServerMetadataResponse")(
            name=about.name, version=about.version, extensions=about.extensions
        )

    async def ModelReady(self, request: Any, context: Any) -> Any:
        sender = SENDER.get()
        await self._state.oip.describe(request.name, sender.caller, request.version)
        ready = self._state.oip.answers(request.name, sender.caller)
        return message("ModelReadyResponse")(ready=ready)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        caller = SENDER.get().caller
        _, found = await self._state.oip.describe(request.name, caller, request.version)
        return translation.to_metadata(found)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        return await SENDER.get().infer(request, context.time_remaining())

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> Any:
        """Answer one request after another; a request that fails does not end the stream."""
        sender = SENDER.get()
        kind = message("ModelStreamInferResponse")
        async for request in requests:
            try:
                async for response in _responses(sender, request, context):
                    yield kind(infer_response=response)
            except EasyMLNBError as error:
                yield kind(error_message=error.message, infer_response={"id": request.id})
            except Exception as error:
                log.error("failed", exc_info=error)
                yield kind(error_message=InternalError().message)

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        states = self._state.oip.index(SENDER.get().caller, ready=request.ready)
        found = [msgspec.to_builtins(one) for one in states]
        return message("RepositoryIndexResponse")(models=found)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        sender = SENDER.get()
        await self._state.oip.load(request.model_name, sender.caller)
        await sender.record("model.load", request.model_name)
        return message("RepositoryModelLoadResponse")()

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        sender = SENDER.get()
        self._state.oip.unload(request.model_name, sender.caller)
        await sender.record("model.unload", request.model_name)
        return message("RepositoryModelUnloadResponse")()


async def _guarded(call: Call, request: Any, context: Any) -> Any:
    """Run a call; an error of ours becomes one of gRPC."""
    try:
        return await call(request, context)
    except EasyMLNBError as error:
        await _abort(context, error)
    except grpc.aio.AbortError:
        raise
    except Exception as error:
        await _abort(context, error)


async def _responses(sender: RpcHandler, request: Any, context: Any) -> AsyncIterator[Any]:
    """Yield the response to a request, or one for each item of a streaming service."""
    items = _Items(request.id)
    work = asyncio.ensure_future(sender.infer(request, context.time_remaining(), items))
    work.add_done_callback(lambda _: items.queue.put_nowait(None))
    try:
        while (item := await items.queue.get()) is not None:
            response, size = item
            yield response
            sender.acknowledge(size)
        last = work.result()
        if last is not None:
            yield last
    finally:
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
