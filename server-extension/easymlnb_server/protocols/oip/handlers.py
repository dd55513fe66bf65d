"""The routes of the Open Inference Protocol: ``v2`` and everything below it."""

import asyncio
from functools import partial
from typing import Any, ClassVar

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated

from easymlnb.contract.errors import BadRequest, EasyMLNBError, NotLoggedIn
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import LARGE
from easymlnb_server.calls.handlers import MODEL, VERSION
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import CallRequest, Entry
from easymlnb_server.calls.stream_buffer import cut_if_stuck
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import EasyHandler, custom_access_check
from easymlnb_server.http.spooled_body import send_file
from easymlnb_server.identity.grants import Scope
from easymlnb_server.protocols.handlers import ProtocolHandler
from easymlnb_server.protocols.oip import errors, framing, models
from easymlnb_server.protocols.oip.compression import inflate
from easymlnb_server.protocols.oip.framing import HEAD_LENGTH, Inference
from easymlnb_server.protocols.oip.manager import ModelRepository
from easymlnb_server.protocols.oip.models import ModelMetadata
from easymlnb_server.services.models import Target
from easymlnb_server.services.registry import Selection
from easymlnb_server.uploads.spool import SpooledFile

MAX_COMMAND = 64 * 1024
"""Bytes of the body of a request about models at most."""

MODELS = (Scope.READ, Scope.CALL)


class OipHandler(ProtocolHandler):
    """A route about the server or its models."""

    key_scopes: ClassVar = {"GET": MODELS}

    @property
    def _models(self) -> ModelRepository:
        return self.state.oip

    def body_limit(self) -> int:
        return MAX_COMMAND

    def on_anonymous(self) -> None:
        """Accept visitors of a public service; they do not choose its version."""
        pinned = len(self.path_args) > 1
        self.accept_visitors(self.path_args[0] if self.path_args and not pinned else "")

    def error_document(self, error: EasyMLNBError) -> dict[str, Any]:
        self.set_status(errors.status_of(error))
        return errors.document(error)

    async def _described(self, name: str, version: str) -> tuple[ServiceSpec, ModelMetadata]:
        return await self._models.describe(name, self.caller, version)


class HealthHandler(EasyHandler):
    """``GET v2/health/live`` and ``v2/health/ready``; they are open, as probes have no login."""

    key_scopes: ClassVar = {"GET": MODELS}

    def initialize(self, what: str) -> None:
        self._what = what

    @allow_unauthenticated
    def get(self) -> None:
        ready = self.state.ready
        fine = ready or self._what == "live"
        self.write_json({self._what: fine}, 200 if fine else 503)


class ServerHandler(OipHandler):
    """``GET v2``: what the server is."""

    @custom_access_check
    def get(self) -> None:
        self.write_json(models.ServerMetadata.of(self.caller))


class ModelsHandler(OipHandler):
    """``GET v2/models``: the names of all models."""

    @custom_access_check
    def get(self) -> None:
        self.write_json(models.ModelNames(models=self._models.names(self.caller)))


class ModelHandler(OipHandler):
    """``GET v2/models/{name}`` and ``.../versions/{version}``: the tensors of a model."""

    @custom_access_check
    async def get(self, name: str, version: str = "") -> None:
        _, metadata = await self._described(name, version)
        self.write_json(metadata)


class StatisticsHandler(OipHandler):
    """``GET .../stats``: what the calls of a model took, for those who manage it."""

    key_scopes: ClassVar = {}

    def on_anonymous(self) -> None:
        raise NotLoggedIn

    @custom_access_check
    async def get(self, name: str, version: str = "") -> None:
        self.write_json(self._models.statistics(self.caller, name, version))


class AllStatisticsHandler(ModelHandler):
    """``GET v2/models/stats``: the statistics of all models; a service of that name goes first."""

    key_scopes: ClassVar = {}

    @custom_access_check
    async def get(self, name: str = "stats", version: str = "") -> None:
        if name in self._models.names(self.caller):
            await super().get(name)
        else:
            self.write_json(self._models.statistics(self.caller))


class ConfigHandler(OipHandler):
    """``GET .../config``: the model's configuration as Triton has it."""

    @custom_access_check
    async def get(self, name: str, version: str = "") -> None:
        spec, metadata = await self._described(name, version)
        self.write_json(msgspec.to_builtins(models.config(metadata, spec)))


class ModelReadyHandler(OipHandler):
    """``GET .../ready``: whether a model answers calls."""

    @custom_access_check
    async def get(self, name: str, version: str = "") -> None:
        await self._described(name, version)
        ready = self._models.answers(name, self.caller)
        self.write_json(models.ModelReady(name=name, ready=ready), 200 if ready else 503)


class IndexRequest(msgspec.Struct, frozen=True):
    """What an index is asked for."""

    ready: bool = False


class IndexHandler(OipHandler):
    """``POST v2/repository/index``: the states of all models."""

    key_scopes: ClassVar = {"POST": MODELS}

    @custom_access_check
    def post(self) -> None:
        body = self.read_spooled_body()
        assert isinstance(body, bytes)
        try:
            asked = msgspec.json.decode(body or b"{}", type=IndexRequest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"The body must be {{'ready': true or false}} ({error}).") from error
        self.write_json(msgspec.to_builtins(self._models.index(self.caller, ready=asked.ready)))


class LoadHandler(OipHandler):
    """``POST v2/repository/models/{name}/load`` and ``.../unload``, for the service's owner."""

    key_scopes: ClassVar = {}

    def initialize(self, load: bool = True) -> None:
        super().initialize()
        self._load = load

    def on_anonymous(self) -> None:
        raise NotLoggedIn

    @custom_access_check
    async def post(self, name: str) -> None:
        if self._load:
            await self._models.load(name, self.caller)
        else:
            self._models.unload(name, self.caller)
        await self.record(f"model.{'load' if self._load else 'unload'}", name)
        self.clear_header("Content-Type")
        self.finish()


class InferHandler(OipHandler):
    """``POST v2/models/{name}/infer`` and ``.../versions/{version}/infer``."""

    actions: ClassVar[dict[str, str]] = {"POST": "execute"}
    key_scopes: ClassVar = {"POST": (Scope.CALL,)}

    def initialize(self) -> None:
        super().initialize()
        self._target: Target | None = None
        self._ran: Invocation | None = None

    async def before_body(self) -> None:
        """Give a version that the request names a deployment."""
        await super().before_body()
        name, version = self.path_args[0], self.version
        if version and not self.is_visitor:
            self.state.invoker.find(name, self.caller)
            await self.state.services.wake(name, version)

    def body_limit(self) -> int:
        name, invoker = self.path_args[0], self.state.invoker
        selection = Selection(version="" if self.is_visitor else self.version)
        self._target = invoker.find(
            name, self.caller, published_only=self.is_visitor, selection=selection
        )
        spec = self._target.spec
        return self.state.quotas.max_body(spec.name, self.caller, spec.max_body)

    @property
    def version(self) -> str:
        pinned = self.path_args[1] if len(self.path_args) > 1 else ""
        return pinned or self.request.headers.get(VERSION, "").strip()

    @custom_access_check
    async def post(self, name: str, version: str = "") -> None:
        assert self._target is not None
        models.check_plain(self._target.spec)
        request, inference = await self.tensor_call(name)
        await self._respond(await self.invoke(request), inference)

    async def tensor_call(self, name: str) -> tuple[CallRequest, Inference]:
        """Return the call of an inference request; raises ``BadRequest``, ..."""
        body = await self.unpacked(self.read_spooled_body())
        inference = await self._inference(body)
        request = self.call_request(
            name,
            body,
            inference.content_type,
            accept=inference.accept,
            entry=Entry.OIP,
            low_priority=inference.low_priority,
        )
        limit = min(request.timeout, inference.timeout)
        return msgspec.structs.replace(request, timeout=limit, version=self.version), inference

    async def unpacked(self, body: Body) -> Body:
        """Return the body as it was before the client compressed it."""
        encoding = self.request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in ("", "identity"):
            return body
        packed = await asyncio.to_thread(body_content, body)
        return await self.spooled(await asyncio.to_thread(inflate, packed, encoding, self._limit))

    async def spooled(self, data: bytes) -> Body:
        """Return bytes as the body of a call: in a file if they are many."""
        if len(data) <= LARGE:
            return data
        self.drop_body()
        file = self._file = self._new_file(len(data))
        await asyncio.to_thread(file.write, data)
        return FileBody(file=file)

    async def _inference(self, body: Body) -> Inference:
        length = framing.head_length(self.request.headers.get(HEAD_LENGTH))
        read = partial(_first, body)
        size = len(body) if isinstance(body, bytes) else _file(body).size
        parse = partial(framing.inference, length, size, read)
        small = (size if length is None else length) <= LARGE
        return parse() if small else await asyncio.to_thread(parse)

    async def wait(self, invocation: Invocation, done: "asyncio.Future[CallResult]") -> CallResult:
        self._ran = invocation
        return await done

    async def _respond(self, result: CallResult, inference: Inference) -> None:
        if result.models:
            self.set_header(MODEL, result.models)
        if result.error is not None:
            raise result.error
        assert result.result is not None and self._ran is not None
        target, body = self._ran.target, result.body
        size = len(body) if isinstance(body, bytes) else body.size
        head = framing.respond(
            result.result.content_type, size, target.name, target.version, inference.id
        )
        for name, value in head.headers.items():
            self.set_header(name, value)
        self.set_header("Server-Timing", f"worker;dur={result.result.seconds * 1000:.3f}")
        self.set_header("Content-Length", str(len(head.prefix) + size - 1))
        self.write(head.prefix)
        if isinstance(body, SpooledFile):
            try:
                await send_file(body, self._send, 1)
            finally:
                body.close()
        else:
            self.write(body[1:])
        stream = self.request.connection.stream  # type: ignore[union-attr]
        cut_if_stuck(stream, self.finish(), size)

    async def _send(self, chunk: bytes) -> None:
        self.write(chunk)
        sent = self.flush()
        cut_if_stuck(self.request.connection.stream, sent, len(chunk))  # type: ignore[union-attr]
        await sent

    def on_finish(self) -> None:
        super().on_finish()
        self._ran = None


def _file(body: FileBody) -> SpooledFile:
    assert body.file is not None
    return body.file


def _first(body: Body, size: int) -> bytes:
    return body[:size] if isinstance(body, bytes) else _file(body).read(0, size)


def body_content(body: Body) -> bytes:
    return body if isinstance(body, bytes) else _file(body).read()


def oip_routes(name: str, version: str) -> tuple[tuple[Any, ...], ...]:
    """Return the routes for the patterns of a service's name and of a version."""
    models_of = tuple(
        (rf"v2/models/{name}{pinned}{end}", handler)
        for pinned in ("", f"/versions/{version}")
        for end, handler in (
            ("", ModelHandler),
            ("/ready", ModelReadyHandler),
            ("/config", ConfigHandler),
            ("/stats", StatisticsHandler),
            ("/infer", InferHandler),
        )
    )
    return (
        (r"v2", ServerHandler),
        (r"v2/health/live", HealthHandler, {"what": "live"}),
        (r"v2/health/ready", HealthHandler, {"what": "ready"}),
        (r"v2/models", ModelsHandler),
        (r"v2/models/stats", AllStatisticsHandler),
        *models_of,
        (r"v2/repository/index", IndexHandler),
        (rf"v2/repository/models/{name}/load", LoadHandler),
        (rf"v2/repository/models/{name}/unload", LoadHandler, {"load": False}),
    )
