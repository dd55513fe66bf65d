"""The answer to paths without a route, in the form of the protocol that they belong to."""

import re
from collections.abc import Callable
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado import web

from easymlnb.contract.errors import EasyMLNBError, RouteNotFound
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.protocols.deepaas import texts as deepaas
from easymlnb_server.protocols.easymlserve import rules as easymlserve
from easymlnb_server.protocols.mcp import errors as mcp
from easymlnb_server.protocols.mlflow import errors as mlflow
from easymlnb_server.protocols.oip import errors as oip

OIP = re.compile(r"v2(/.*)?")
MLFLOW = re.compile(r"mlflow(/.*)?")
SCORING = re.compile(r"services/.+/(invocations|ping|health|version)")
DEEPAAS = re.compile(r"services/.+/deepaas(/.*)?")
EASYMLSERVE = re.compile(r"services/.+/process")
MCP = re.compile(r"(services/.+/)?mcp")

Document = Callable[[EasyMLNBError], dict[str, Any]]

DOCUMENTS: tuple[tuple[Callable[[str], object], Document], ...] = (
    (OIP.fullmatch, oip.document),
    (MLFLOW.fullmatch, mlflow.document),
    (SCORING.fullmatch, lambda error: mlflow.document(mlflow.in_protocol(error))),
    (EASYMLSERVE.fullmatch, easymlserve.document_of),
    (MCP.fullmatch, lambda error: mcp.from_error(error, error.request_id or "").to_dict(None)),
)
"""Bodies of errors below the paths of other protocols."""


class NotFoundHandler(EasyHandler):
    """All paths without another route, such as those with a name that no service can have."""

    @web.authenticated
    async def get(self) -> None:
        raise RouteNotFound

    post = put = patch = delete = get

    @allow_unauthenticated
    def options(self, *args: str) -> None:
        raise RouteNotFound

    def error_document(self, error: EasyMLNBError) -> dict[str, Any]:
        error.request_id = self.request_id
        for is_below, document in DOCUMENTS:
            if is_below(self._path):
                return document(error)
        return super().error_document(error)

    def error_body(self, error: EasyMLNBError) -> str:
        if not DEEPAAS.fullmatch(self._path):
            return super().error_body(error)
        status, media_type, text = deepaas.of_error(error)
        self.set_status(status)
        self.set_header("Content-Type", media_type)
        return text

    @property
    def _path(self) -> str:
        return self.request.path.removeprefix(f"{self.base_url}easymlnb/")
