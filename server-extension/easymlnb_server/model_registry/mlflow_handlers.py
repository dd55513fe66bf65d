"""The part of MLflow's REST API that reads models, for its client and ``load_model``.

The tracking URI is the address of our routes with ``mlflow`` at its end. Nothing can be written.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from tornado import web

from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    Forbidden,
    MethodNotAllowed,
    RouteNotFound,
)
from easymlnb_server.http.downloads import send_chunks
from easymlnb_server.model_registry import mlflow_folder, mlflow_names
from easymlnb_server.model_registry.mlflow_names import from_mlflow
from easymlnb_server.model_registry.version_handlers import VersionBase
from easymlnb_server.openapi.document import BYTES, JSON, TEXT, Operation, ok, query_parameter
from easymlnb_server.store.model_records import ModelOverview, ModelVersionRow

CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    503: "TEMPORARILY_UNAVAILABLE",
}
"""MLflow's codes of errors, by status."""

READ_ONLY = (
    "This server's MLflow API only reads models. To change one, use easymlnb: ml.registry, "
    "'easymlnb models', or the model's page."
)
NO_STAGES = (
    "Models have aliases, not stages. Set an alias with ml.registry.alias(name, 'production', "
    "version)."
)
FOLDER = "models/"


class MlflowBase(VersionBase):
    """Base of the routes of MLflow: its errors have another form."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error: EasyMLNBError = self.public_error(kwargs.get("exc_info", (None, None, None))[1])
        self.set_status(error.status)
        self.set_header("Content-Type", "application/json")
        if isinstance(error, MethodNotAllowed):
            self.set_header("Allow", self.allowed_methods)
        code = CODES.get(error.status, "INTERNAL_ERROR")
        self.finish(json.dumps({"error_code": code, "message": error.message}))

    async def of_mlflow(self, name: str, ref: str) -> tuple[ModelOverview, ModelVersionRow]:
        """Return a model and a version by MLflow's name."""
        return await self.version(self._full(name), ref)

    def _full(self, name: str) -> str:
        if not name:
            raise BadRequest("The parameter 'name' is missing.")
        return from_mlflow(name)


class MlflowHandler(MlflowBase):
    """``GET`` and ``POST mlflow/api/2.0/mlflow/{resource}/{call}``."""

    actions: ClassVar[dict[str, str]] = {"POST": "read"}

    @web.authenticated
    async def get(self, resource: str, call: str) -> None:
        await self._answer(f"{resource}/{call}", self._query())

    @web.authenticated
    async def post(self, resource: str, call: str) -> None:
        wanted = f"{resource}/{call}"
        if wanted == "model-versions/transition-stage":
            raise BadRequest(NO_STAGES)
        if not wanted.endswith(("/search", "/get-latest-versions")):
            raise Forbidden(READ_ONLY)
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError as error:
            raise BadRequest(f"The body is not JSON ({error}).") from error
        await self._answer(wanted, body if isinstance(body, dict) else {})

    def _query(self) -> dict[str, Any]:
        return {name: self.get_query_argument(name) for name in self.request.query_arguments}

    async def _answer(self, wanted: str, given: dict[str, Any]) -> None:
        calls: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "registered-models/search": self._search_models,
            "registered-models/list": self._search_models,
            "registered-models/get": self._get_model,
            "registered-models/alias": self._get_alias,
            "registered-models/get-latest-versions": self._latest,
            "model-versions/search": self._search_versions,
            "model-versions/get": self._get_version,
            "model-versions/get-download-uri": self._download_uri,
        }
        if wanted not in calls:
            raise RouteNotFound(f"There is no call {wanted[:80]!r}. {READ_ONLY}")
        self.write_json(await calls[wanted](given))

    async def _search_models(self, given: dict[str, Any]) -> dict[str, Any]:
        matches = mlflow_names.name_filter(str(given.get("filter", "")))
        found = [
            one
            for one in await self.models.visible(self.caller)
            if matches(mlflow_names.to_mlflow(one.model.name))
        ]
        return {"registered_models": [await self._described(one) for one in found]}

    async def _get_model(self, given: dict[str, Any]) -> dict[str, Any]:
        found = await self.found(self._full(str(given.get("name", ""))))
        return {"registered_model": await self._described(found)}

    async def _described(self, found: ModelOverview) -> dict[str, Any]:
        latest = None
        if found.latest is not None:
            number = str(found.latest)
            latest = await asyncio.to_thread(self.models.rows.version, found.model.name, number)
        return mlflow_names.registered_model(found, latest)

    async def _get_alias(self, given: dict[str, Any]) -> dict[str, Any]:
        found, row = await self.of_mlflow(str(given.get("name", "")), str(given.get("alias", "")))
        return {"model_version": mlflow_names.model_version(row, found.aliases)}

    async def _get_version(self, given: dict[str, Any]) -> dict[str, Any]:
        found, row = await self.of_mlflow(str(given.get("name", "")), str(given.get("version", "")))
        return {"model_version": mlflow_names.model_version(row, found.aliases)}

    async def _download_uri(self, given: dict[str, Any]) -> dict[str, Any]:
        _, row = await self.of_mlflow(str(given.get("name", "")), str(given.get("version", "")))
        return {"artifact_uri": mlflow_names.download_uri(row)}

    async def _latest(self, given: dict[str, Any]) -> dict[str, Any]:
        found, row = await self.of_mlflow(str(given.get("name", "")), "latest")
        return {"model_versions": [mlflow_names.model_version(row, found.aliases)]}

    async def _search_versions(self, given: dict[str, Any]) -> dict[str, Any]:
        matches = mlflow_names.name_filter(str(given.get("filter", "")))
        versions = []
        for found in await self.models.visible(self.caller):
            if matches(mlflow_names.to_mlflow(found.model.name)):
                rows = await asyncio.to_thread(self.models.rows.versions, found.model.name)
                versions += [mlflow_names.model_version(row, found.aliases) for row in rows]
        return {"model_versions": versions}


class MlflowArtifactsHandler(MlflowBase):
    """``GET mlflow/api/2.0/mlflow-artifacts/artifacts[/{path}]``: list and download files."""

    @web.authenticated
    async def get(self, path: str = "") -> None:
        if path:
            await self._send_file(path)
            return
        row, extra, folder = await self._files(self.get_query_argument("path", ""))
        paths = [(file.path, file.size) for file in row.files]
        paths += [(name, len(data)) for name, data in extra.items()]
        self.write_json({"files": mlflow_names.listing(paths, folder)})

    async def _files(self, path: str) -> tuple[ModelVersionRow, dict[str, bytes], str]:
        """Return the version of a path, the files that MLflow's folder adds, and the rest."""
        parts = path.strip("/").removeprefix(FOLDER).split("/", 2)
        if len(parts) < 2 or not path.strip("/").startswith(FOLDER):
            raise RouteNotFound(f"There are no files at {path[:200]!r}.")
        _, row = await self.of_mlflow(parts[0], parts[1])
        return row, mlflow_folder.extra_files(row), parts[2] if len(parts) > 2 else ""

    async def _send_file(self, path: str) -> None:
        row, extra, wanted = await self._files(path)
        self.set_header("Content-Type", "application/octet-stream")
        if wanted in extra:
            self.finish(extra[wanted])
            return
        file = next((file for file in row.files if file.path == wanted), None)
        if file is None:
            raise RouteNotFound(f"The version has no file {wanted[:200]!r}.")
        self.set_header("Content-Length", str(file.size))
        chunks = self.models.store.files.chunks(file.sha256)
        await send_chunks(self, lambda: next(chunks, b""))


_CALL = "Reads models as MLflow's REST API does; the tracking URI is the address with `mlflow`."
_ERROR = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}
OPERATIONS = {
    "GET /mlflow/api/2.0/mlflow/{resource}/{call}": Operation(
        "readMlflow",
        "Read models with MLflow's client",
        ok("As MLflow answers.", {JSON: {"type": "object"}}),
        (503,),
        tag="Models",
        error=_ERROR,
        description=_CALL,
    ),
    "POST /mlflow/api/2.0/mlflow/{resource}/{call}": Operation(
        "searchMlflow",
        "Search models with MLflow's client",
        ok("As MLflow answers.", {JSON: {"type": "object"}}),
        (400, 503),
        tag="Models",
        error=_ERROR,
        description=_CALL,
    ),
    "GET /mlflow/api/2.0/mlflow-artifacts/artifacts": Operation(
        "listMlflowArtifacts",
        "List files of a version for MLflow",
        ok("As MLflow answers.", {JSON: {"type": "object"}}),
        (404, 503),
        tag="Models",
        error=_ERROR,
        query=(query_parameter("path", "Such as `models/forest/3`.", TEXT, required=True),),
    ),
    "GET /mlflow/api/2.0/mlflow-artifacts/artifacts/{label}": Operation(
        "getMlflowArtifact",
        "Download a file of a version for MLflow",
        ok("The file.", {"application/octet-stream": BYTES}),
        (503,),
        tag="Models",
        error=_ERROR,
    ),
}
