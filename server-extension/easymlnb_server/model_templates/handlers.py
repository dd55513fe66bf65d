"""Models without code: templates, data, make, change, predict, delete."""

from collections.abc import Awaitable, Iterable
from typing import Any, ClassVar, cast

import msgspec
from msgspec import UNSET
from tornado import web

from easymlnb.contract.errors import BadRequest, ModelNotFound
from easymlnb.contract.json_values import decode_body
from easymlnb.contract.names import quoted
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.http.spooled_body import SpooledBodyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.grants import Scope
from easymlnb_server.jobs import responses as job_responses
from easymlnb_server.jobs.models import JobAccepted
from easymlnb_server.model_registry.handlers import AliasHandler, ModelHandler, ModelsHandler
from easymlnb_server.model_templates.bundles import TEMPLATES, Template, template_named
from easymlnb_server.model_templates.handler_base import TemplateHandlerBase
from easymlnb_server.model_templates.models import (
    Choices,
    LookRequest,
    NewTemplateModel,
    Predictions,
    PredictRequest,
    TemplateConfig,
    TemplateList,
    TemplateModel,
    TemplateModelChange,
    TemplateShown,
)
from easymlnb_server.model_templates.rules import check_file
from easymlnb_server.openapi.document import (
    CALLING,
    HTML,
    JSON,
    Operation,
    ok,
)
from easymlnb_server.uploads.handlers import UploadsHandler, UploadStarted, announced, sender_of
from easymlnb_server.uploads.uploads import CHUNK

MAX_BODY = 2**20
MAX_ROWS_BODY = 100 * 2**20

NEW_ADVICE = (
    'Send the model as JSON, such as {"name": "prices", "template": "tabular", "data": "<upload '
    'id>", "target": "price"}'
)
LOOK_ADVICE = 'Send the data as JSON, such as {"data": "<upload id>", "target": "price"}'
CHANGE_ADVICE = 'Send what changes as JSON, such as {"algorithm": "forest"}'
PREDICT_ADVICE = 'Send rows as JSON, such as {"data": [{"area": 120}]}'

OWN_CHANGES = TemplateModelChange.__struct_fields__


class TrainingStarted(TemplateModel, frozen=True, kw_only=True):
    """A model, and the job that trains its next version; ``None`` if none was needed."""

    training: JobAccepted | None


class TemplatesHandler(TemplateHandlerBase):
    """``GET templates``."""

    @web.authenticated
    def get(self) -> None:
        self.write_json(TemplateList(templates=[described(one) for one in TEMPLATES.values()]))


def described(template: Template) -> TemplateShown:
    """Return a template as callers see it."""
    return TemplateShown(
        name=template.name,
        title=template.title,
        description=template.description,
        accept=list(template.accept),
        max_bytes=template.max_bytes,
    )


class DataUploadsHandler(UploadsHandler):
    """``POST uploads``: also of data for a template, with ``?template=``."""

    @web.authenticated
    def post(self) -> None:
        name = self.get_query_argument("template", "")
        if not name:
            super().post()
            return
        template = template_named(name)
        file, _, size = announced(self.read_body())
        check_file(template, file, size)
        upload = self.state.uploads.announce(sender_of(self), template.uploads, file, size)
        self.set_header("Location", f"{self.base_url}easymlnb/uploads/{upload.id}")
        self.write_json(UploadStarted(id=upload.id, offset=0, chunk=CHUNK), 201)


class LookHandler(TemplateHandlerBase, BodyHandler):
    """``POST templates/look``: describe data before a model is made from it."""

    actions: ClassVar[dict[str, str]] = {"POST": "execute"}

    def body_limit(self) -> int:
        return MAX_BODY

    @web.authenticated
    async def post(self) -> None:
        given = decode_body(self.read_body(), LookRequest, LOOK_ADVICE)
        template = template_named(given.template)
        data = self.data_of(template, given.data)
        if data is None and given.model:
            data = await self.templates.data_of(await self.made(given.model, Action.MANAGE))
        if data is None:
            raise BadRequest(LOOK_ADVICE)
        choices = msgspec.convert(given.options(), Choices)
        self.write_json(await self.templates.look(self.author, template, data, choices))


class TemplateModelsHandler(TemplateHandlerBase, ModelsHandler):
    """``POST models``: with a ``template``, a model is made from data."""

    @web.authenticated
    async def post(self) -> None:
        body = self.read_body()
        if names_any(body, ("template",)):
            await self._create(body)
        else:
            await cast("Awaitable[None]", super().post())

    async def _create(self, body: bytes) -> None:
        given = decode_body(body, NewTemplateModel, NEW_ADVICE)
        data = self.data_of(template_named(given.template), given.data)
        name, job = await self.templates.create(self.author, given, data)
        about = {"template": given.template}
        await self.record("model.create", name, owner=self.author.name, details=about)
        shown = await self._started(name, job)
        self.set_header("Location", f"{self.address}models/{quoted(name)}")
        self.write_json(shown, 201)

    async def _started(self, name: str, job: Any) -> TrainingStarted:
        return started(self, *await self.templates.get(name), job)


def started(handler: TemplateHandlerBase, found: Any, config: Any, job: Any) -> TrainingStarted:
    """Return a model with the job that was submitted for it."""
    shown = msgspec.structs.asdict(handler.shown(found, config))
    accepted = None if job is None else job_responses.accepted(job, handler.address, "")
    return TrainingStarted(**shown, training=accepted)


def names_any(body: bytes, names: Iterable[str]) -> bool:
    """Return whether a body is a JSON object with one of these members."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(given, dict) and not given.keys().isdisjoint(names)


class TemplateModelHandler(TemplateHandlerBase, ModelHandler):
    """``PATCH`` and ``DELETE models/{name}``: of one without code, also its training."""

    @web.authenticated
    async def patch(self, name: str) -> None:
        body = self.read_body()
        if not names_any(body, OWN_CHANGES):
            await cast("Awaitable[None]", super().patch(name))
            return
        change = decode_body(body, TemplateModelChange, CHANGE_ADVICE)
        found, _ = await self.made(name, Action.MANAGE)
        full, template = found.model.name, template_named(found.model.template or "")
        data = None if change.data is UNSET else self.data_of(template, change.data)
        job = await self.templates.change(self.author, full, change, data)
        about = [one for one in OWN_CHANGES if getattr(change, one) is not UNSET]
        details = {"changed": about, "job": job.id if job is not None else None}
        await self.record("model.change", full, owner=found.model.owner, details=details)
        self.write_json(started(self, *await self.templates.get(full), job))

    @web.authenticated
    async def delete(self, name: str) -> None:
        found = await self.found(name, Action.OWN)
        if found.model.template:
            await self.templates.withdraw(found.model.name)
        await cast("Awaitable[None]", super().delete(name))


class TemplateAliasHandler(TemplateHandlerBase, AliasHandler):
    """``PUT`` and ``DELETE models/{name}/aliases/{alias}``: the service of a model follows."""

    @web.authenticated
    async def put(self, name: str, alias: str) -> None:
        await cast("Awaitable[None]", super().put(name, alias))
        self.templates.follow(self.full_name(name))

    @web.authenticated
    async def delete(self, name: str, alias: str) -> None:
        await cast("Awaitable[None]", super().delete(name, alias))
        self.templates.follow(self.full_name(name))


class TemplateDetailsHandler(TemplateHandlerBase):
    """``GET models/{name}/template``: how a model is made, and its training."""

    @web.authenticated
    async def get(self, name: str) -> None:
        self.write_json(self.shown(*await self.made(name)))


class PredictHandler(TemplateHandlerBase, SpooledBodyHandler):
    """``POST models/{name}/predict``."""

    actions: ClassVar[dict[str, str]] = {"POST": "execute"}
    key_scopes: ClassVar = {"POST": (Scope.CALL,)}

    def body_limit(self) -> int:
        return MAX_ROWS_BODY

    @web.authenticated
    async def post(self, name: str) -> None:
        body = self.read_spooled_body()
        data = body if isinstance(body, bytes) else body.file.read() if body.file else body.data
        given = decode_body(data, PredictRequest, PREDICT_ADVICE)
        full = self.full_name(name)
        await self._check_rights(full)
        self.write_json(await self.templates.predict(full, given.data, given.version))

    async def _check_rights(self, name: str) -> None:
        """Raise ``ModelNotFound`` unless the caller may see the model or call its service."""
        services = self.state.services
        if services.is_published(name) and services.allows(self.caller, name, Action.CALL):
            return
        if self.caller is not None and self.caller.key is not None:
            raise ModelNotFound(name)
        await self.found(name, Action.SEE)


class TemplatePageHandler(TemplateHandlerBase, PageHandler):
    """``GET templates/page``: the page on which people make models without code."""

    @web.authenticated
    async def get(self) -> None:
        name = self.get_query_argument("model", "")
        model = None
        if name:
            model = msgspec.to_builtins(self.shown(*await self.made(name, Action.MANAGE)))
        own = [
            msgspec.to_builtins(self.shown(one, TemplateConfig.read(one.model.config)))
            for one in await self.templates.all()
            if self.models.allows(self.caller, one.model, Action.MANAGE)
        ]
        shown = [msgspec.to_builtins(described(one)) for one in TEMPLATES.values()]
        self.page("templates.html", model=model, models=own, templates=shown)


OPERATIONS = {
    "GET /templates": Operation(
        "listTemplates", "List the templates", ok("All templates.", TemplateList), tag="Models"
    ),
    "GET /templates/page": Operation(
        "getTemplatesPage",
        "Make a model without code, for people",
        ok("A page.", HTML),
        (404, 503),
        tag="Models",
    ),
    "POST /templates/look": Operation(
        "lookAtData",
        "Describe data before a model is made from it",
        ok(
            "Columns with their kinds and distributions, how the file was read, what could be "
            "predicted, and with a target what to know before training.",
            {JSON: {"type": "object"}},
        ),
        CALLING,
        tag="Models",
        body={JSON: LookRequest},
    ),
    "GET /models/{name}/template": Operation(
        "getTemplateModel",
        "Describe how a model without code is made",
        ok("Its choices, data and training.", TemplateModel),
        (503,),
        tag="Models",
    ),
    "POST /models/{name}/predict": Operation(
        "predict",
        "Predict rows with a model without code",
        ok("The predictions of the rows, in their order.", Predictions),
        CALLING,
        tag="Models",
        body={JSON: PredictRequest},
        description="The version with the alias `production` predicts, else the latest one.",
    ),
}
