"""The calls of the protocol over gRPC, each with the checks of a request by HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import grpc.aio
import msgspec
from tornado.web import Application

from easymlnb.contract.errors import BadRequest, EasyMLNBError, Forbidden, InternalError
from easymlnb_server.context import ServerContext
from easymlnb_server.http.base import NO_KEYS
from easymlnb_server.protocols.oip import models
from easymlnb_server.protocols.oip.rpc import translation
from easymlnb_server.protocols.oip.rpc.codes import code_of
from easymlnb_server.protocols.oip.rpc.messages import SERVICE, message, methods
from easymlnb_server.protocols.oip.rpc.senders import Items, Login, Sender

OPEN = frozenset(("ServerLive", "ServerReady"))
"""Calls without a login, as probes have none."""

STREAMS = "ModelStreamInfer"

log = logging.getLogger("easymlnb.requests")

Unary = Callable[[Sender, Any, Any], Awaitable[Any]]
"""A call with one request and one response."""


@dataclass(frozen=True, slots=True)
class _Method:
    """A call of the protocol, and how its messages are read and written."""

    name: str
    run: Any
    kinds: dict[str, Any]


class InferenceService(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """The calls of the protocol; their names are those of its service.

    Who sends a call is known before its message is read.
    """

    def __init__(self, application: Application, state: ServerContext) -> None:
        self._login = Login(application, state)
        self._state = state
        self._methods = {
            f"/{SERVICE}/{one.name}": _Method(
                one.name,
                getattr(self, one.name),
                {
                    "request_deserializer": message(one.input_type.name).FromString,
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
            run = partial(self._streams, sender, method.run)
            return grpc.stream_stream_rpc_method_handler(run, **method.kinds)
        if sender is not None:
            run = partial(_guarded, method.run, sender)
            return grpc.unary_unary_rpc_method_handler(run, **method.kinds)
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
        self, sender: Sender | None, run: Any, requests: AsyncIterator[Any], context: Any
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

    async def ServerMetadata(self, sender: Sender, request: Any, context: Any) -> Any:
        about = models.ServerMetadata.of(sender.caller)
        return message("ServerMetadataResponse")(
            name=about.name, version=about.version, extensions=about.extensions
        )

    async def ModelReady(self, sender: Sender, request: Any, context: Any) -> Any:
        await self._state.oip.describe(request.name, sender.caller, request.version)
        ready = self._state.oip.answers(request.name, sender.caller)
        return message("ModelReadyResponse")(ready=ready)

    async def ModelMetadata(self, sender: Sender, request: Any, context: Any) -> Any:
        _, found = await self._state.oip.describe(request.name, sender.caller, request.version)
        return translation.to_metadata(found)

    async def ModelInfer(self, sender: Sender, request: Any, context: Any) -> Any:
        return await sender.infer(request, context.time_remaining())

    async def ModelStreamInfer(
        self, sender: Sender, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        """Answer one request after another; a request that fails does not end the stream."""
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

    async def ModelStatistics(self, sender: Sender, request: Any, context: Any) -> Any:
        if sender.caller.key is not None:
            raise Forbidden(NO_KEYS)
        found = self._state.oip.statistics(sender.caller, request.name, request.version)
        made = [translation.to_statistics(one) for one in found.model_stats]
        return message("ModelStatisticsResponse")(model_stats=made)

    async def RepositoryIndex(self, sender: Sender, request: Any, context: Any) -> Any:
        states = self._state.oip.index(sender.caller, ready=request.ready)
        found = [msgspec.to_builtins(one) for one in states]
        return message("RepositoryIndexResponse")(models=found)

    async def RepositoryModelLoad(self, sender: Sender, request: Any, context: Any) -> Any:
        await self._state.oip.load(request.model_name, sender.caller)
        await sender.record("model.load", request.model_name)
        return message("RepositoryModelLoadResponse")()

    async def RepositoryModelUnload(self, sender: Sender, request: Any, context: Any) -> Any:
        self._state.oip.unload(request.model_name, sender.caller)
        await sender.record("model.unload", request.model_name)
        return message("RepositoryModelUnloadResponse")()


async def _guarded(run: Unary, sender: Sender, request: Any, context: Any) -> Any:
    """Run a call; an error of ours becomes one of gRPC."""
    try:
        return await run(sender, request, context)
    except Exception as error:
        await _abort(context, error)


async def _abort(context: Any, error: Exception) -> None:
    if not isinstance(error, EasyMLNBError):
        log.error("failed", exc_info=error)
        error = InternalError()
    await context.abort(code_of(error), error.message)


async def _responses(sender: Sender, request: Any, context: Any) -> AsyncIterator[Any]:
    """Yield the response to a request, or one for each item of a streaming service."""
    items = Items(request.id)
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
