"""The answer to paths without a route, in the form of the protocol that they belong to."""

import json
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

JSON = "application/json"

Response = tuple[int, str, str]
"""A status, a media type and a body."""


def _in_json(document: Callable[[EasyMLNBError], Any]) -> Callable[[EasyMLNBError], Response]:
    return lambda error: (error.status, JSON, json.dumps(document(error)))


OIP = re.compile(r"v2(/.*)?")
MLFLOW = re.compile(r"mlflow(/.*)?")
SCORING = re.compile(r"services/.+/(invocations|ping|health|version)")
DEEPAAS = re.compile(r"services/.+/deepaas(/.*)?")
EASYMLSERVE = re.compile(r"services/.+/process")
MCP = re.compile(r"(services/.+/)?mcp")

FORMS: tuple[tuple[Callable[[str], object], Callable[[EasyMLNBError], Response]], ...] = (
    (OIP.fullmatch, _in_json(oip.document)),
    (MLFLOW.fullmatch, _in_json(mlflow.document)),
    (SCORING.fullmatch, _in_json(lambda error: mlflow.document(mlflow.in_protocol(error)))),
    (DEEPAAS.fullmatch, deepaas.of_error),
    (EASYMLSERVE.fullmatch, _in_json(easymlserve.document_of)),
    (
        MCP.fullmatch,
        _in_json(lambda error: mcp.from_error(error, error.request_id or "").to_dict(None)),
    ),
)
"""How errors look below the paths of other protocols."""


class NotFoundHandler(EasyHandler):
    """All paths without another route, such as those with a name that no service can have."""

    @web.authenticated
    async def get(self) -> None:
        raise RouteNotFound

    post = put = patch = delete = get

    @allow_unauthenticated
    def options(self, *args: str) -> None:
        raise RouteNotFound

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        path = self.request.path.removeprefix(f"{self.base_url}easymlnb/")
        form = next((form for is_below, form in FORMS if is_below(path)), None)
        if form is None:
            super().write_error(status_code, **kwargs)
            return
        error = self.public_error(kwargs.get("exc_info", (None, None, None))[1])
        status, media_type, text = form(error)
        self.set_status(status)
        self.set_header("X-Request-Id", self.request_id)
        self.set_header("Content-Type", media_type)
        self.finish(text)
