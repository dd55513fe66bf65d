"""Read and change which versions answer the calls of a service."""

from typing import Any, ClassVar

from tornado import web

from easymlnb.contract.errors import TrafficChanged
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.openapi.document import JSON, TEXT, Operation, done, ok, query_parameter
from easymlnb_server.publishing.traffic import etag, traffic_details, view_of
from easymlnb_server.services.models import PublishedService
from easymlnb_server.traffic.models import TrafficChange, TrafficView
from easymlnb_server.traffic.rules import find_version, parse_change

MAX_BYTES = 2**16
"""Bytes of a change."""


class _TrafficBase(BodyHandler):
    """Base: finds a service that the caller manages."""

    actions: ClassVar[dict[str, str]] = {"POST": "write"}

    def body_limit(self) -> int:
        self.find(self.path_args[0])
        return MAX_BYTES

    def find(self, name: str) -> PublishedService:
        """Return a published service of the caller; raises ``ServiceNotFound``."""
        self.target(name, Action.MANAGE)
        return self.state.traffic.find(name)

    def force(self) -> bool:
        """Return whether the request says ``force``."""
        return self.get_query_argument("force", "") in ("true", "1")

    def revision(self, service: PublishedService) -> int | None:
        """Return the revision that the request's ``If-Match`` names; ``None`` for any.

        Raises ``TrafficChanged`` if it names none.
        """
        given = self.request.headers.get("If-Match", "").strip()
        if given in ("", "*"):
            return None
        if etag(service) not in [one.strip() for one in given.split(",")]:
            raise TrafficChanged(details={"current": traffic_details(service)})
        return service.traffic.revision

    def write_traffic(self, service: PublishedService, name: str) -> None:
        """Send the traffic of a service with its ETag."""
        self.set_header("ETag", etag(service))
        self.write_json(view_of(service))


class TrafficHandler(_TrafficBase):
    """``GET`` and ``PUT services/{name}/traffic``."""

    body_method = "PUT"
    actions: ClassVar[dict[str, str]] = {"PUT": "write"}

    @web.authenticated
    def get(self, name: str) -> None:
        self.write_traffic(self.find(name), name)

    @web.authenticated
    async def put(self, name: str) -> None:
        change = parse_change(self.read_body())
        revision = self.revision(self.find(name))
        service = await self.state.traffic.put(name, change, revision=revision, force=self.force())
        self.write_traffic(service, name)


class RollbackHandler(_TrafficBase):
    """``POST services/{name}/rollback``."""

    @web.authenticated
    async def post(self, name: str) -> None:
        revision = self.revision(self.find(name))
        self.write_traffic(await self.state.traffic.rollback(name, revision=revision), name)


class VersionHandler(EasyHandler):
    """``DELETE services/{name}/versions/{version}``."""

    @web.authenticated
    async def delete(self, name: str, version: str) -> None:
        self.target(name, Action.MANAGE)
        service = self.state.traffic.find(name)
        number = find_version(version, service.traffic.traffic.aliases, service.numbers)
        await self.state.traffic.delete_version(name, number)
        self.state.metrics.prune()
        self.set_status(204)
        self.finish()


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": TEXT}


IF_MATCH = _header(
    "If-Match", "The `ETag` of the traffic that the change is for; otherwise the answer is 412."
)
FORCE = query_parameter(
    "force", "Give traffic to a version that would break callers.", {"type": "boolean"}
)
_CHANGES = (409, 412, 422, 503)

OPERATIONS = {
    "GET /services/{name}/traffic": Operation(
        "getTraffic",
        "Read which versions answer calls",
        ok("The weights, aliases and shadow; `ETag` identifies this state.", TrafficView),
        (503,),
        tag="Versions",
    ),
    "PUT /services/{name}/traffic": Operation(
        "setTraffic",
        "Set which versions answer calls",
        ok("The new traffic, which is in effect.", TrafficView),
        _CHANGES,
        tag="Versions",
        body={JSON: TrafficChange},
        query=(FORCE,),
        headers=(IF_MATCH,),
        description="The answer comes when the versions that get traffic have workers. Fields that "
        "are left out keep their values.",
    ),
    "POST /services/{name}/rollback": Operation(
        "rollback",
        "Give all calls to the version that had them before",
        ok("The new traffic, which is in effect.", TrafficView),
        _CHANGES,
        tag="Versions",
        headers=(IF_MATCH,),
    ),
    "DELETE /services/{name}/versions/{version}": Operation(
        "deleteVersion",
        "Delete a version",
        done("The version is deleted."),
        (409, 503),
        tag="Versions",
    ),
}
