"""Versions of models: list, add, read, change, delete, download."""

import asyncio
from functools import partial
from typing import ClassVar

from tornado import web

from easymlnb.contract.errors import (
    BadRequest,
    RouteNotFound,
    StorageDamaged,
    UnsupportedMediaType,
)
from easymlnb.contract.json_values import decode_body
from easymlnb_server.calls.responses import attachment
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.downloads import send_chunks
from easymlnb_server.http.spooled_body import SpooledBodyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.model_registry import responses
from easymlnb_server.model_registry.exports import FORMS, write
from easymlnb_server.model_registry.handler_base import ModelHandlerBase
from easymlnb_server.model_registry.models import ModelVersionList, VersionChange, VersionDetails
from easymlnb_server.model_registry.uploaded import MAX_ZIP
from easymlnb_server.openapi.document import (
    BYTES,
    JSON,
    TEXT,
    Operation,
    done,
    ok,
    query_parameter,
)
from easymlnb_server.store.model_records import ModelOverview, ModelVersionRow

ZIP = "application/zip"
MAX_BODY = 2**20
ADVICE = 'Send what changes as JSON, such as {"note": "..."}'


class VersionBase(ModelHandlerBase):
    """Base of the routes of one version, given by its number, an alias or ``latest``."""

    async def version(
        self, name: str, ref: str, action: Action = Action.SEE
    ) -> tuple[ModelOverview, ModelVersionRow]:
        """Return a model and one version; raises ``ModelVersionNotFound``."""
        found = await self.found(name, action)
        row = await asyncio.to_thread(self.models.rows.version, found.model.name, ref)
        return found, row

    async def details(self, found: ModelOverview, row: ModelVersionRow) -> VersionDetails:
        """Return a version with its files and learning curves."""
        curves = await asyncio.to_thread(self.models.rows.metrics, row.model, row.number)
        own = self.opens(found, row)
        return responses.version_details(row, found.aliases, own, curves, self.address)


class ModelVersionsHandler(VersionBase, SpooledBodyHandler):
    """``GET`` and ``POST models/{name}/versions``."""

    actions: ClassVar[dict[str, str]] = {"POST": "write"}
    owner = ""

    async def before_body(self) -> None:
        sent = self.request.headers.get("Content-Type", "")
        if sent.partition(";")[0].strip() != ZIP:
            raise UnsupportedMediaType(sent, (ZIP,))
        name = self.full_name(self.path_args[0])
        self.owner = await self.models.owner_for_version(name, self.caller)

    def body_limit(self) -> int:
        return min(MAX_ZIP, self.models.quota or MAX_ZIP)

    @web.authenticated
    async def get(self, name: str) -> None:
        found = await self.found(name)
        rows = await asyncio.to_thread(self.models.rows.versions, found.model.name)
        shown = [
            responses.version(row, found.aliases, self.opens(found, row), self.address)
            for row in rows
        ]
        self.write_json(ModelVersionList(versions=shown))

    @web.authenticated
    async def post(self, name: str) -> None:
        full, body = self.full_name(name), self.read_spooled_body()
        caller = self.caller
        assert caller is not None
        # Only the owner's own Python may vouch for a format that can run code.
        trusted = self.get_query_argument("trusted", "") == "true" and caller.owns(self.owner)
        file = body.file if isinstance(body, FileBody) else None
        content = file.path if file is not None else body
        assert not isinstance(content, FileBody)
        row = await self.models.add_version(full, self.owner, caller.name, content, trusted=trusted)
        about = {"version": row.number, "format": row.format, "origin": row.origin}
        await self.record("model.version", full, owner=self.owner, details=about)
        found = await self.found(name)
        shown = await self.details(found, row)
        self.set_header("Location", shown.url)
        self.write_json(shown, 201)


class ModelVersionHandler(VersionBase, BodyHandler):
    """``GET``, ``PATCH`` and ``DELETE models/{name}/versions/{version}``."""

    body_method = "PATCH"

    def body_limit(self) -> int:
        return MAX_BODY

    @web.authenticated
    async def get(self, name: str, ref: str) -> None:
        found, row = await self.version(name, ref)
        self.write_json(await self.details(found, row))

    @web.authenticated
    async def patch(self, name: str, ref: str) -> None:
        change = decode_body(self.read_body(), VersionChange, ADVICE)
        action = Action.OWN if change.trusted is True else Action.MANAGE
        found, row = await self.version(name, ref, action)
        changed = await self.models.change_version(row, change)
        about = {"version": row.number, **changed}
        await self.record("model.version", row.model, owner=found.model.owner, details=about)
        self.write_json(await self.details(*(await self.version(name, str(row.number)))))

    @web.authenticated
    async def delete(self, name: str, ref: str) -> None:
        found, row = await self.version(name, ref, Action.MANAGE)
        await self.models.remove_version(row)
        about = {"version": row.number}
        await self.record("model.version.delete", row.model, owner=found.model.owner, details=about)
        self.set_status(204)
        self.finish()


class ModelFileHandler(VersionBase):
    """``GET models/{name}/versions/{version}/files/{path}``."""

    @web.authenticated
    async def get(self, name: str, ref: str, path: str) -> None:
        _, row = await self.version(name, ref)
        file = next((file for file in row.files if file.path == path), None)
        if file is None:
            raise RouteNotFound(f"The version has no file {path[:200]!r}.")
        files = self.models.store.files
        if await asyncio.to_thread(files.size, file.sha256) != file.size:
            raise StorageDamaged(file.sha256)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", attachment(path.rpartition("/")[2]))
        self.set_header("Content-Length", str(file.size))
        self.set_header("ETag", f'"{file.sha256}"')
        chunks = files.chunks(file.sha256)
        await send_chunks(self, lambda: next(chunks, b""))


class ExportHandler(VersionBase):
    """``GET models/{name}/versions/{version}/export``."""

    @web.authenticated
    async def get(self, name: str, ref: str) -> None:
        form = self.get_query_argument("as", "mlflow")
        if form not in FORMS:
            raise BadRequest(f"as must be one of {', '.join(FORMS)}, not {form[:40]!r}.")
        found, row = await self.version(name, ref)
        shown = responses.version(row, found.aliases, self.opens(found, row), self.address)
        files = self.models.store.files
        file = await asyncio.to_thread(write, form, found.model, row, files, shown.url)
        label = f"{row.model.replace('/', '-')}-{row.number}.{form}.zip"
        self.set_header("Content-Type", ZIP)
        self.set_header("Content-Disposition", attachment(label))
        with file:
            await send_chunks(self, partial(file.read, 2**20))


OPERATIONS = {
    "GET /models/{name}/versions": Operation(
        "listModelVersions",
        "List the versions of a model",
        ok("Newest first.", ModelVersionList),
        (503,),
        tag="Models",
    ),
    "POST /models/{name}/versions": Operation(
        "addModelVersion",
        "Add a version to a model",
        ok("The version exists; so does the model.", VersionDetails, 201),
        (415, 503, 507),
        tag="Models",
        body={ZIP: BYTES},
        description="A zip with the description `model.json` and the folder `files`.",
        query=(
            query_parameter(
                "trusted", "`true`: the owner vouches for a format that can run code.", TEXT
            ),
        ),
    ),
    "GET /models/{name}/versions/{version}": Operation(
        "getModelVersion",
        "Describe a version",
        ok("By number, alias or `latest`.", VersionDetails),
        (503,),
        tag="Models",
    ),
    "PATCH /models/{name}/versions/{version}": Operation(
        "changeModelVersion",
        "Change the tags or note of a version, or trust it",
        ok("The version.", VersionDetails),
        (503,),
        tag="Models",
        body={JSON: VersionChange},
    ),
    "DELETE /models/{name}/versions/{version}": Operation(
        "removeModelVersion",
        "Delete a version",
        done("The version is deleted; its number is not used again."),
        (409, 503),
        tag="Models",
    ),
    "GET /models/{name}/versions/{version}/files/{label}": Operation(
        "getModelFile",
        "Download a file of a version",
        ok("The file.", {"application/octet-stream": BYTES}),
        (503,),
        tag="Models",
    ),
    "GET /models/{name}/versions/{version}/export": Operation(
        "exportModelVersion",
        "Export a version",
        ok("A zip.", {ZIP: BYTES}),
        (409, 503),
        tag="Models",
        query=(
            query_parameter(
                "as",
                "`mlflow`, the default, for a folder of MLflow; `crate` for an RO-Crate.",
                {**TEXT, "enum": list(FORMS)},
            ),
        ),
    ),
}
