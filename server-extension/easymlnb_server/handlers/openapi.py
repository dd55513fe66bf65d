"""The services as OpenAPI, for tools and for the docs page."""

from importlib.metadata import version

from tornado import web

from easymlnb_server.access import Action
from easymlnb_server.handlers.base import EasyHandler
from easymlnb_server.openapi import JSON, Content, Operation, document, service_document

VERSION = version("easymlnb")


class OpenapiHandler(EasyHandler):
    """``GET openapi.json``: all routes and all services."""

    def initialize(self, operations: tuple[Operation, ...] = ()) -> None:
        """Take the operations of all routes."""
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

    @web.authenticated
    def get(self, name: str) -> None:
        spec = self.target(name, Action.SEE).spec
        self.write_json(service_document(spec, url=f"{self.base_url}easymlnb", version=VERSION))


_DOCUMENT: dict[int, tuple[str, Content]] = {200: ("This document.", {JSON: {"type": "object"}})}

OPERATIONS = (
    Operation(
        method="get",
        path="/services/{name}/openapi.json",
        id="getServiceOpenapi",
        tag="Documents",
        summary="Describe one service in OpenAPI",
        answers=_DOCUMENT,
        errors=(404,),
    ),
    Operation(
        method="get",
        path="/openapi.json",
        id="getOpenapi",
        tag="Documents",
        summary="Describe all in OpenAPI",
        answers=_DOCUMENT,
    ),
)
