"""The routes of DEEPaaS V2: ``services/{name}/deepaas/...``."""

import asyncio
from math import inf
from typing import Any, ClassVar

from tornado import web

from easymlnb.contract.deepaas import (
    MEDIA_TYPE,
    PREDICT,
    TRAIN,
    DeepaasMethod,
    DeepaasModel,
    DeepaasRequest,
    Method,
)
from easymlnb.contract.errors import (
    EasyMLNBError,
    JobNotFound,
    MethodNotAllowed,
    NotLoggedIn,
    RouteNotFound,
)
from easymlnb.contract.names import quoted
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.calls import options
from easymlnb_server.calls.handlers import VERSION
from easymlnb_server.calls.responses import attachment
from easymlnb_server.calls.stream_buffer import cut_if_stuck
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import retry_after
from easymlnb_server.http.rate_limits import rate_limit_headers
from easymlnb_server.http.spooled_body import send_file
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.grants import Scope
from easymlnb_server.jobs.handlers import job_owner
from easymlnb_server.jobs.models import Job, JobState
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.protocols.deepaas import documents, texts, trainings
from easymlnb_server.protocols.deepaas.results import read_arguments, read_output
from easymlnb_server.protocols.handlers import ProtocolHandler
from easymlnb_server.uploads.spool import SpooledFile

MAX_LISTED = 100
"""Number of trainings in a list: the latest."""

MAX_LISTED_OUTPUT = 2**16
"""Bytes of the largest output of a training that a list has."""

MODEL = r"([^/]{1,200})"
UUID = r"([0-9A-Za-z-]{1,64})"


class DeepaasHandler(ProtocolHandler):
    """Base of the routes: the service must serve a DEEPaaS module, and the model be its own."""

    key_scopes: ClassVar = {"GET": (Scope.CALL, Scope.READ), "POST": (Scope.CALL,)}

    def initialize(self) -> None:
        super().initialize()
        self._spec: ServiceSpec | None = None

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        await super().prepare(_redirect_to_login=_redirect_to_login)
        if self.request.method in ("POST", "OPTIONS"):
            return
        try:
            self._check_model()
        except EasyMLNBError:
            await self._discard_body()  # else the connection would be closed
            raise

    async def before_body(self) -> None:
        await super().before_body()
        self._check_model()

    def body_limit(self) -> int:
        spec = self.spec
        return self.state.quotas.max_body(spec.name, self.caller, spec.max_body)

    @property
    def spec(self) -> ServiceSpec:
        """The service of the path, if the caller may call it; raises ``ServiceNotFound``."""
        if self._spec is None:
            self._spec = self.target(self.path_args[0], Action.CALL).spec
        return self._spec

    @property
    def model(self) -> DeepaasModel:
        """The model of the service; raises ``RouteNotFound`` if it has none."""
        model = self.spec.deepaas
        if model is None:
            raise RouteNotFound
        return model

    @property
    def root(self) -> str:
        """The path of the API, without a slash at its end."""
        return f"{self.base_url}easymlnb/services/{quoted(self.path_args[0])}/deepaas"

    def _check_model(self) -> None:
        """Raise ``RouteNotFound`` for an unknown model, whatever the method of the request."""
        model = self.spec.deepaas
        if model is not None and self.path_args[1:] and self.path_args[1] != model.name:
            raise RouteNotFound

    def service_of(self, method: DeepaasMethod) -> str:
        """Return the full name of the service that runs a method."""
        owner, slash, _ = self.path_args[0].rpartition("/")
        return f"{owner}{slash}{method.service}"

    def available(self, name: Method) -> DeepaasMethod | None:
        """Return a method, or answer that the model does not offer it and return ``None``."""
        model = self.model
        if (method := model.method(name)) is None:
            self.send_text(*texts.unavailable(model, name))
        return method

    def send_text(self, status: int, text: str) -> None:
        """Answer with a text."""
        self.set_status(status)
        self.set_header("Content-Type", texts.PLAIN)
        self.finish(text)

    def send_json(self, value: Any) -> None:
        """Answer with JSON, under the media type that DEEPaaS has for it."""
        self.set_header("Content-Type", texts.JSON)
        self.write_json(value)

    def forwarded(self, *, check: bool = False, arguments: Any = None) -> str:
        """Return the media type that carries this request to a worker."""
        headers = self.request.headers
        return DeepaasRequest(
            query=self.request.query,
            content_type=headers.get("Content-Type", ""),
            accept=headers.get("Accept", ""),
            check=check,
            arguments=arguments or {},
        ).media_type()

    async def run(self, service: str, body: Body, content_type: str) -> CallResult:
        """Run a call; raises its error."""
        request = self.call_request(service, body, content_type, accept=MEDIA_TYPE)
        result = await self.invoke(request)
        if result.error is not None:
            result.error.request_id = self.request_id
            raise result.error
        return result

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = self.public_error(kwargs.get("exc_info", (None, None, None))[1])
        status, media_type, text = texts.of_error(error)
        self.set_status(status)
        self.set_header("X-Request-Id", self.request_id)
        self.set_header("Content-Type", media_type)
        for name, value in self._error_headers(error):
            self.set_header(name, value)
        if self._closing:
            self.set_header("Connection", "close")
        self.finish(text)

    def _error_headers(self, error: EasyMLNBError) -> list[tuple[str, str]]:
        found = list(rate_limit_headers(error).items())
        if (seconds := retry_after(error)) is not None:
            found.append(("Retry-After", seconds))
        if isinstance(error, MethodNotAllowed):
            found.append(("Allow", self.allowed_methods))
        if isinstance(error, NotLoggedIn):
            found.append(("WWW-Authenticate", 'Bearer realm="easymlnb"'))
        return found


class DeepaasDocumentHandler(DeepaasHandler):
    """``GET``: one of the documents about the model, which the route names."""

    def initialize(self, document: str = "") -> None:
        super().initialize()
        self._document = document

    @web.authenticated
    def get(self, *args: str) -> None:
        model, root = self.model, self.root
        made = {
            "versions": lambda: documents.versions(root),
            "version": lambda: documents.version(root),
            "models": lambda: documents.models(model, root),
            "model": lambda: documents.model(model, root),
            "swagger": lambda: documents.swagger(model, root),
        }
        self.send_json(made[self._document]())


class SlashBase(DeepaasHandler):
    """Base of paths without the slash at their end: the same request to the path with it."""

    def add_slash(self) -> None:
        query = f"?{self.request.query}" if self.request.query else ""
        self.drop_body()
        self.redirect(f"{self.request.path}/{query}", status=308)


class DeepaasSlashHandler(SlashBase):
    """Documents."""

    @web.authenticated
    def get(self, *args: str) -> None:
        self.add_slash()


class DeepaasPredictSlashHandler(SlashBase):
    """Predictions."""

    @web.authenticated
    def post(self, *args: str) -> None:
        self.add_slash()


class DeepaasTrainSlashHandler(DeepaasSlashHandler):
    """Trainings."""

    key_scopes: ClassVar = dict.fromkeys(("GET", "POST"), (Scope.JOBS,))

    @web.authenticated
    def post(self, *args: str) -> None:
        self.add_slash()


class DeepaasPredictHandler(DeepaasHandler):
    """``POST .../predict/``: a prediction, in the media type that the caller chose."""

    key_scopes: ClassVar = {"POST": (Scope.CALL,)}

    @web.authenticated
    async def post(self, *args: str) -> None:
        if (method := self.available(PREDICT)) is None:
            return
        body = self.read_spooled_body()
        result = await self.run(self.service_of(method), body, self.forwarded())
        await self._send(result)

    async def _send(self, result: CallResult) -> None:
        message, body = result.result, result.body
        assert message is not None
        is_json = message.content_type == "application/json"
        self.set_header("Content-Type", texts.JSON if is_json else message.content_type)
        # An HTML or SVG result must not run as a page of this origin.
        self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        if message.filename:
            self.set_header("Content-Disposition", attachment(message.filename))
        if isinstance(body, SpooledFile):
            self.set_header("Content-Length", str(body.size))
            try:
                await send_file(body, self._write)
            finally:
                body.close()
        else:
            self.write(body)
        stream = self.request.connection.stream  # type: ignore[union-attr]
        cut_if_stuck(stream, self.finish(), len(body))

    async def _write(self, chunk: bytes) -> None:
        self.write(chunk)
        sent = self.flush()
        cut_if_stuck(self.request.connection.stream, sent, len(chunk))  # type: ignore[union-attr]
        await sent


class TrainingBase(DeepaasHandler):
    """Base of the routes of trainings, which are the caller's jobs of the training's service."""

    key_scopes: ClassVar = dict.fromkeys(("GET", "POST", "DELETE"), (Scope.JOBS,))

    def training(self) -> str | None:
        """Return the service that trains, or answer that there is none and return ``None``.

        Raises ``ServiceNotFound``, or ``NotLoggedIn`` for an API key of other services.
        """
        if (method := self.available(TRAIN)) is None:
            return None
        service = self.service_of(method)
        self.target(service, Action.CALL)
        return service

    async def described(self, job: Job, status: str = "", *, limit: float = inf) -> Any:
        """Return a training with its result, if that has at most ``limit`` bytes."""
        output = None
        if job.state is JobState.SUCCEEDED and job.result is not None:
            files = self.state.jobs.store.files
            output = await asyncio.to_thread(read_output, files, job.result, limit)
        return trainings.shown(job, output, status)


class DeepaasTrainHandler(TrainingBase):
    """``.../train/``: start a training, list trainings."""

    @web.authenticated
    async def post(self, *args: str) -> None:
        if (service := self.training()) is None:
            return
        body = self.read_spooled_body()
        checked = await self.run(service, body, self.forwarded(check=True))
        arguments = await asyncio.to_thread(read_arguments, checked)
        headers = self.request.headers
        job = await self.state.jobs.submit(
            Submission(
                service=service,
                caller=self.caller,
                owner=job_owner(self),
                body=body,
                content_type=self.forwarded(arguments=arguments),
                accept=MEDIA_TYPE,
                key=options.idempotency_key(headers),
                request_id=self.request_id,
                version=headers.get(VERSION, "").strip(),
                low_priority=options.is_low_priority(headers),
            )
        )
        self.send_json(await self.described(job))

    @web.authenticated
    async def get(self, *args: str) -> None:
        if (service := self.training()) is None:
            return
        found, _ = await self.state.jobs.find(
            owner=job_owner(self), service=service, limit=MAX_LISTED
        )
        current = [self.state.jobs.current(job) for job in reversed(found)]
        shown = [job for job in current if not trainings.is_gone(job)]
        self.send_json([await self.described(job, limit=MAX_LISTED_OUTPUT) for job in shown])


class DeepaasTrainingHandler(TrainingBase):
    """``.../train/{uuid}``: the state of a training; ``DELETE`` cancels or removes it."""

    @web.authenticated
    async def get(self, *args: str) -> None:
        if (job := await self._find()) is not None:
            self.send_json(await self.described(job))

    @web.authenticated
    async def delete(self, *args: str) -> None:
        if (job := await self._find()) is None:
            return
        status = "" if job.state.ended else "cancelled"
        made = await self.described(job, status)
        await self.state.jobs.remove(job.id, job_owner(self))
        self.send_json(made)

    async def _find(self) -> Job | None:
        """Return the training of the path; ``None`` if there is no method to train."""
        if (service := self.training()) is None:
            return None
        id = trainings.job_of(self.path_args[2])
        if id is None:
            raise RouteNotFound
        try:
            job = await self.state.jobs.get(id, job_owner(self))
        except JobNotFound:
            raise RouteNotFound from None
        if job.service != service or trainings.is_gone(job):
            raise RouteNotFound
        return job


def routes(name: str) -> tuple[tuple[Any, ...], ...]:
    """Return the routes; ``name`` is the pattern of a service's name."""
    at = rf"services/{name}/deepaas"
    model = rf"{at}/v2/models/{MODEL}"
    return (
        (rf"{at}/", DeepaasDocumentHandler, {"document": "versions"}),
        (rf"{at}/swagger\.json", DeepaasDocumentHandler, {"document": "swagger"}),
        (rf"{at}/v2/", DeepaasDocumentHandler, {"document": "version"}),
        (rf"{at}/v2/models/", DeepaasDocumentHandler, {"document": "models"}),
        (rf"{model}/", DeepaasDocumentHandler, {"document": "model"}),
        (rf"{model}/predict/", DeepaasPredictHandler),
        (rf"{model}/train/", DeepaasTrainHandler),
        (rf"{model}/train/{UUID}", DeepaasTrainingHandler),
        (at, DeepaasSlashHandler),
        (rf"{at}/v2", DeepaasSlashHandler),
        (rf"{at}/v2/models", DeepaasSlashHandler),
        (model, DeepaasSlashHandler),
        (rf"{model}/predict", DeepaasPredictSlashHandler),
        (rf"{model}/train", DeepaasTrainSlashHandler),
    )
