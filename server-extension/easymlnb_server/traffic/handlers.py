"""Read and change which versions answer the calls of a service."""

from typing import Any, ClassVar

from tornado import web

from easymlnb.contract.errors import TrafficChanged
from easymlnb.contract.names import quoted
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.openapi.document import JSON, TEXT, Operation, done, ok, query_parameter
from easymlnb_server.publishing.traffic import etag, traffic_details, view_of
from easymlnb_server.services.models import PublishedService
from easymlnb_server.traffic.models import TrafficChange, TrafficView
from easymlnb_server.traffic.promotions import PromotionRequest, event_details, parse_request
from easymlnb_server.traffic.responses import PromotionList, PromotionView, promotion_view
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
        promotion = self.state.promotions.active(name)
        self.set_header("ETag", etag(service))
        self.write_json(view_of(service, promotion.id if promotion is not None else None))


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
        await self.record("traffic.change", name, owner=service.owner, details=shown(service))
        await self.state.promotions.end_replaced(name)
        self.write_traffic(service, name)


class RollbackHandler(_TrafficBase):
    """``POST services/{name}/rollback``."""

    @web.authenticated
    async def post(self, name: str) -> None:
        revision = self.revision(self.find(name))
        service = await self.state.traffic.rollback(name, revision=revision)
        await self.record("traffic.rollback", name, owner=service.owner, details=shown(service))
        await self.state.promotions.end_replaced(name)
        self.write_traffic(service, name)


class VersionHandler(EasyHandler):
    """``DELETE services/{name}/versions/{version}``."""

    @web.authenticated
    async def delete(self, name: str, version: str) -> None:
        self.target(name, Action.MANAGE)
        service = self.state.traffic.find(name)
        number = find_version(version, service.traffic.traffic.aliases, service.numbers)
        await self.state.traffic.delete_version(name, number)
        about = {"version": number}
        await self.record("version.delete", name, owner=service.owner, details=about)
        self.state.metrics.prune()
        self.set_status(204)
        self.finish()


class PromotionsHandler(_TrafficBase):
    """``GET`` and ``POST services/{name}/promotions``."""

    @web.authenticated
    async def get(self, name: str) -> None:
        self.find(name)
        listed = await self.state.promotions.listed(name)
        self.write_json(PromotionList(promotions=[promotion_view(one) for one in listed]))

    @web.authenticated
    async def post(self, name: str) -> None:
        request = parse_request(self.read_body())
        owner = self.find(name).owner
        started = await self.state.promotions.start(name, request, force=self.force())
        await self.record("promotion.start", name, owner=owner, details=event_details(started))
        path = f"services/{quoted(name)}/promotions/{started.id}"
        self.set_header("Location", f"{self.base_url}easymlnb/{path}")
        self.write_json(promotion_view(started), 201)


class PromotionHandler(_TrafficBase):
    """``GET`` and ``DELETE services/{name}/promotions/{id}``."""

    @web.authenticated
    async def get(self, name: str, id: str) -> None:
        self.find(name)
        self.write_json(promotion_view(await self.state.promotions.get(name, id)))

    @web.authenticated
    async def delete(self, name: str, id: str) -> None:
        owner = self.find(name).owner
        ended = await self.state.promotions.cancel(name, id)
        await self.record("promotion.cancel", name, owner=owner, details=event_details(ended))
        self.write_json(promotion_view(ended))


class PromotionPauseHandler(_TrafficBase):
    """``POST services/{name}/promotions/{id}/pause`` and ``resume``."""

    def initialize(self, paused: bool = True) -> None:
        super().initialize()
        self._paused = paused

    @web.authenticated
    async def post(self, name: str, id: str) -> None:
        owner = self.find(name).owner
        changed = await self.state.promotions.pause(name, id, paused=self._paused)
        action = "promotion.pause" if self._paused else "promotion.resume"
        await self.record(action, name, owner=owner, details=event_details(changed))
        self.write_json(promotion_view(changed))


def shown(service: PublishedService) -> dict[str, object]:
    """Return the traffic of a service for the audit log."""
    found = traffic_details(service)
    return {name: found[name] for name in ("weights", "aliases", "sticky", "shadow")}


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
    "GET /services/{name}/promotions": Operation(
        "listPromotions",
        "List the promotions",
        ok("The latest promotions, newest first.", PromotionList),
        (503,),
        tag="Versions",
    ),
    "POST /services/{name}/promotions": Operation(
        "startPromotion",
        "Move the calls to a version in steps",
        ok("The promotion, with its first step in effect.", PromotionView, 201),
        _CHANGES,
        tag="Versions",
        body={JSON: PromotionRequest},
        query=(FORCE,),
        description="The server advances it, and goes back when the version fails or is slow.",
    ),
    "GET /services/{name}/promotions/{id}": Operation(
        "getPromotion",
        "Read the state of a promotion",
        ok("Its step, and the numbers of both versions.", PromotionView),
        (503,),
        tag="Versions",
    ),
    "DELETE /services/{name}/promotions/{id}": Operation(
        "cancelPromotion",
        "Cancel a promotion, and go back",
        ok("The promotion; the former version answers all calls.", PromotionView),
        _CHANGES,
        tag="Versions",
    ),
    "POST /services/{name}/promotions/{id}/pause": Operation(
        "pausePromotion",
        "Stay at the present step",
        ok("The promotion. It still goes back when the version fails.", PromotionView),
        (409, 503),
        tag="Versions",
    ),
    "POST /services/{name}/promotions/{id}/resume": Operation(
        "resumePromotion",
        "Continue a paused promotion",
        ok("The promotion; its step begins again.", PromotionView),
        (409, 503),
        tag="Versions",
    ),
    "DELETE /services/{name}/versions/{version}": Operation(
        "deleteVersion",
        "Delete a version",
        done("The version is deleted."),
        (409, 503),
        tag="Versions",
    ),
}
