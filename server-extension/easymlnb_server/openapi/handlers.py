"""The services as OpenAPI, for tools and for the docs page."""

from importlib.metadata import version
from typing import ClassVar

from tornado import web

from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.grants import Scope
from easymlnb_server.openapi.document import (
    JSON,
    Operation,
    Operations,
    document,
    ok,
    service_document,
)

VERSION = version("easymlnb")


class OpenapiHandler(EasyHandler):
    """``GET openapi.json``: all routes and all services."""

    key_scopes: ClassVar = {"GET": (Scope.READ,)}

    def initialize(self, operations: Operations) -> None:
        self._operations = operations

    @web.authenticated
    def get(self) -> None:
        services = self.state.services
        self.write_json(
            document(
                services.specs(self.caller),
                self._operations,
                url=f"{self.base_url}easymlnb",
                version=VERSION,
                shared=services.shared,
            )
        )


class ServiceOpenapiHandler(EasyHandler):
    """``GET services/{name}/openapi.json``: one service and nothing else."""

    key_scopes: ClassVar = {"GET": tuple(Scope)}

    @web.authenticated
    def get(self, name: str) -> None:
        spec = self.target(name, Action.SEE).spec
        self.write_json(service_document(spec, url=f"{self.base_url}easymlnb", version=VERSION))


_DOCUMENT = ok("This document.", {JSON: {"type": "object"}})

OPERATIONS = {
    "GET /services/{name}/openapi.json": Operation(
        "getServiceOpenapi", "Describe one service in OpenAPI", _DOCUMENT, tag="Documents"
    ),
    "GET /openapi.json": Operation(
        "getOpenapi", "Describe all in OpenAPI", _DOCUMENT, tag="Documents"
    ),
}
