"""Models and their aliases: list, create, change, compare, delete."""

import asyncio
from typing import ClassVar

from msgspec import UNSET
from tornado import web

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.json_values import decode_body
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.model_registry import responses
from easymlnb_server.model_registry.handler_base import ModelHandlerBase
from easymlnb_server.model_registry.manager import access_of
from easymlnb_server.model_registry.models import (
    AliasChange,
    AliasShown,
    ModelChange,
    ModelComparison,
    ModelDetails,
    ModelList,
    NewModel,
)
from easymlnb_server.openapi.document import (
    COUNT,
    JSON,
    TEXT,
    Operation,
    done,
    ok,
    query_parameter,
)
from easymlnb_server.store.model_records import ModelOverview
from easymlnb_server.store.models import ANY

MAX_BODY = 2**20
PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000
MAX_COMPARED = 20

MODEL_ADVICE = 'Send the model as JSON, such as {"name": "forest", "title": "Load forecast"}'
CHANGE_ADVICE = 'Send what changes as JSON, such as {"description": "..."}'
ALIAS_ADVICE = 'Send the version as JSON, such as {"version": 4, "if": 3}'


class ModelBodyHandler(ModelHandlerBase, BodyHandler):
    """A route of models whose body subclasses may read before it does."""

    _read: bytes | None = None

    def read_body(self) -> bytes:
        """Return the whole body, each time."""
        if self._read is None:
            self._read = super().read_body()
        return self._read


class ModelsHandler(ModelBodyHandler):
    """``GET`` and ``POST models``."""

    actions: ClassVar[dict[str, str]] = {"POST": "write"}

    def body_limit(self) -> int:
        return MAX_BODY

    @web.authenticated
    async def get(self) -> None:
        found = await self.models.visible(self.caller)
        wanted = self.get_query_argument("search", "").lower()
        if wanted:
            found = [
                one for one in found if wanted in f"{one.model.name} {one.model.title}".lower()
            ]
        start = self.get_query_argument("start", "")
        limit = whole("limit", self.get_query_argument("limit", "") or str(PAGE_SIZE))
        limit = max(1, min(limit, MAX_PAGE_SIZE))
        rest = [one for one in found if one.model.name >= start]
        shown = [responses.model(one, self.address) for one in rest[:limit]]
        more = rest[limit].model.name if len(rest) > limit else None
        self.write_json(ModelList(models=shown, total=len(found), next=more))

    @web.authenticated
    async def post(self) -> None:
        given = decode_body(self.read_body(), NewModel, MODEL_ADVICE)
        name = self.full_name(given.name)
        model = await self.models.create(name, self.caller, given)
        await self.record("model.create", name, owner=model.owner)
        shown = await described(self, await self.found(name))
        self.set_header("Location", shown.url)
        self.write_json(shown, 201)


async def described(handler: ModelHandlerBase, found: ModelOverview) -> ModelDetails:
    """Return a model with who loads it, as far as the caller may know."""
    models, name = handler.models, found.model.name
    managed = models.allows(handler.caller, found.model, Action.MANAGE)
    aliases = await asyncio.to_thread(models.rows.aliases, name)
    uses = await asyncio.to_thread(models.rows.uses, name) if managed else []
    serving = models.rollout.serving(name) if managed else []
    access = access_of(found.model) if managed and handler.state.services.shared else None
    return responses.details(found, aliases.values(), uses, serving, access, handler.address)


class ModelHandler(ModelBodyHandler):
    """``GET``, ``PATCH`` and ``DELETE models/{name}``."""

    body_method = "PATCH"

    def body_limit(self) -> int:
        return MAX_BODY

    @web.authenticated
    async def get(self, name: str) -> None:
        self.write_json(await described(self, await self.found(name)))

    @web.authenticated
    async def patch(self, name: str) -> None:
        change = decode_body(self.read_body(), ModelChange, CHANGE_ADVICE)
        action = Action.MANAGE if change.access is UNSET else Action.OWN
        found = await self.found(name, action)
        changed = await self.models.change(found.model.name, change)
        await self.record(
            "model.change", found.model.name, owner=found.model.owner, details=changed
        )
        self.write_json(await described(self, await self.found(name)))

    @web.authenticated
    async def delete(self, name: str) -> None:
        found = await self.found(name, Action.OWN)
        await self.models.remove(found.model.name)
        await self.record("model.delete", found.model.name, owner=found.model.owner)
        self.set_status(204)
        self.finish()


class AliasHandler(ModelHandlerBase, BodyHandler):
    """``PUT`` and ``DELETE models/{name}/aliases/{alias}``."""

    body_method = "PUT"

    def body_limit(self) -> int:
        return MAX_BODY

    @web.authenticated
    async def put(self, name: str, alias: str) -> None:
        change = decode_body(self.read_body(), AliasChange, ALIAS_ADVICE)
        found = await self.found(name, Action.MANAGE)
        assert self.caller is not None
        full = found.model.name
        row = await self.models.set_alias(full, alias, change, self.caller.name)
        about = {"alias": alias, "version": row.number, "before": found.aliases.get(alias)}
        await self.record("model.alias", full, owner=found.model.owner, details=about)
        self.write_json(responses.alias(row))

    @web.authenticated
    async def delete(self, name: str, alias: str) -> None:
        found = await self.found(name, Action.MANAGE)
        full = found.model.name
        await self.models.remove_alias(full, alias, self._expected())
        about = {"alias": alias, "version": None, "before": found.aliases.get(alias)}
        await self.record("model.alias", full, owner=found.model.owner, details=about)
        self.set_status(204)
        self.finish()

    def _expected(self) -> object:
        given = self.get_query_argument("if", "")
        return whole("if", given) if given else ANY


class CompareHandler(ModelHandlerBase):
    """``GET models/{name}/compare``: versions side by side."""

    @web.authenticated
    async def get(self, name: str) -> None:
        self.write_json(await compared(self, name))


async def compared(handler: ModelHandlerBase, name: str) -> ModelComparison:
    """Return the versions of the query's ``versions`` side by side."""
    found = await handler.found(name)
    asked = [one for one in handler.get_query_argument("versions", "").split(",") if one.strip()]
    if not 2 <= len(asked) <= MAX_COMPARED:
        raise BadRequest(f"Send 2 to {MAX_COMPARED} versions to compare, such as ?versions=3,4.")
    full = found.model.name
    rows = [
        await asyncio.to_thread(handler.models.rows.version, full, one.strip()) for one in asked
    ]
    shown = [
        responses.version(row, found.aliases, handler.opens(found, row), handler.address)
        for row in rows
    ]
    return responses.comparison(full, shown)


def whole(name: str, text: str) -> int:
    """Return a whole number of the query; raises ``BadRequest``."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(f"{name} must be a whole number, not {text[:40]!r}.")
    return int(text)


OPERATIONS = {
    "GET /models": Operation(
        "listModels",
        "List models",
        ok("By name.", ModelList),
        (503,),
        tag="Models",
        query=(
            query_parameter("search", "Only models with this text in the name or title.", TEXT),
            query_parameter("start", "The `next` of the former part.", TEXT),
            query_parameter("limit", f"Models at most; default {PAGE_SIZE}.", COUNT),
        ),
    ),
    "POST /models": Operation(
        "createModel",
        "Create a model without versions",
        ok("The model exists.", ModelDetails, 201),
        (404, 409, 503),
        tag="Models",
        body={JSON: NewModel},
    ),
    "GET /models/{name}": Operation(
        "getModel", "Describe a model", ok("The model.", ModelDetails), (503,), tag="Models"
    ),
    "PATCH /models/{name}": Operation(
        "changeModel",
        "Change a model's texts or access",
        ok("The model.", ModelDetails),
        (503,),
        tag="Models",
        body={JSON: ModelChange},
    ),
    "DELETE /models/{name}": Operation(
        "removeModel",
        "Delete a model with its versions",
        done("The model is deleted."),
        (409, 503),
        tag="Models",
        description="Refused while published services load it.",
    ),
    "PUT /models/{name}/aliases/{alias}": Operation(
        "setModelAlias",
        "Let an alias name a version",
        ok("Workers load the version.", AliasShown),
        (409, 503),
        tag="Models",
        body={JSON: AliasChange},
    ),
    "DELETE /models/{name}/aliases/{alias}": Operation(
        "removeModelAlias",
        "Remove an alias",
        done("The alias is removed."),
        (409, 503),
        tag="Models",
        query=(query_parameter("if", "The version that it must name now.", COUNT),),
    ),
    "GET /models/{name}/compare": Operation(
        "compareModelVersions",
        "Compare versions",
        ok("Metrics and parameters side by side.", ModelComparison),
        (503,),
        tag="Models",
        query=(
            query_parameter("versions", "Numbers or aliases, such as `3,4`.", TEXT, required=True),
        ),
    ),
}
