"""Read and set the limits of a service."""

from typing import ClassVar

from tornado import web

from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.quotas.quotas import ServiceLimits, parse_service_limits
from easymlnb_server.openapi.document import JSON, Operation, ok

MAX_REQUEST = 2**16


class LimitsHandler(BodyHandler):
    """``GET`` and ``PUT services/{name}/limits``."""

    body_method = "PUT"
    actions: ClassVar[dict[str, str]] = {"PUT": "write"}

    def body_limit(self) -> int:
        self.target(self.path_args[0], Action.MANAGE)
        return MAX_REQUEST

    @web.authenticated
    def get(self, name: str) -> None:
        self.target(name, Action.MANAGE)
        self.write_json(self.state.quotas.of_service(name))

    @web.authenticated
    async def put(self, name: str) -> None:
        limits = parse_service_limits(self.read_body())
        # Checked again: the service may have been removed while the body arrived.
        self.target(name, Action.MANAGE)
        self.state.published.check()
        await self.state.quotas.set_service(name, limits)
        owner = self.state.services.named(name, self.caller).owner
        about = {"all": limits.all.to_dict()}
        if limits.visitors is not None:
            about["visitors"] = limits.visitors.to_dict()
        await self.record("limits.change", name, owner=owner, details=about)
        self.write_json(limits)


_DESCRIPTION = (
    "`all` are the limits of all calls together, `visitors` those of calls without a login to a "
    "public service; null for the server's defaults."
)

OPERATIONS = {
    "GET /services/{name}/limits": Operation(
        "getLimits",
        "Read the limits of a service of yours",
        ok("The limits that were set.", ServiceLimits),
        description=_DESCRIPTION,
    ),
    "PUT /services/{name}/limits": Operation(
        "setLimits",
        "Set the limits of a service of yours",
        ok("The new limits.", ServiceLimits),
        (503,),
        body={JSON: ServiceLimits},
        description=_DESCRIPTION,
    ),
}
