"""The services as OpenAPI, for tools and for the docs page."""

from importlib.metadata import version

from tornado import web

from easymlnb_server.access import Action
from easymlnb_server.handlers.base import EasyHandler
from easymlnb_server.openapi import document, service_document

VERSION = version("easymlnb")


class OpenapiHandler(EasyHandler):
    """``GET openapi.json``: all routes and all services."""

    @web.authenticated
    def get(self) -> None:
        services = self.state.services
        specs = services.specs(self.caller)
        url = f"{self.base_url}easymlnb"
        self.write_json(document(specs, url=url, version=VERSION, shared=services.shared))


class ServiceOpenapiHandler(EasyHandler):
    """``GET services/{name}/openapi.json``: one service and nothing else."""

    @web.authenticated
    def get(self, name: str) -> None:
        spec = self.target(name, Action.SEE).spec
        self.write_json(service_document(spec, url=f"{self.base_url}easymlnb", version=VERSION))
