"""Health checks and the metrics of a shared service in Prometheus's format."""

from typing import ClassVar, Literal, Protocol, runtime_checkable

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated

from easymlnb.contract.errors import Forbidden, NotLoggedIn
from easymlnb.contract.hub_config import ACCESS
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.grants import Scope
from easymlnb_server.observability.metrics import CONTENT_TYPE, exposition
from easymlnb_server.openapi.document import Operation, ok

SERVICE_SCOPES = {ACCESS, "access:services"}


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the server."""

    status: Literal["ok", "not_ready"]


class _ProbeHandler(EasyHandler):
    """Base of the probes, which come every few seconds and are therefore not logged."""

    def _log(self) -> None:
        pass


class LiveHandler(_ProbeHandler):
    """``GET health/live``: the process runs. The route is open, so it returns only a status."""

    @allow_unauthenticated
    def get(self) -> None:
        self.write_json(Health(status="ok"))


class ReadyHandler(_ProbeHandler):
    """``GET health/ready``: this process serves published services."""

    @allow_unauthenticated
    def get(self) -> None:
        ready = self.state.ready
        self.write_json(Health(status="ok" if ready else "not_ready"), 200 if ready else 503)


@runtime_checkable
class TokenScopes(Protocol):
    """Looks up the scopes of a token of a user or a service."""

    async def scopes(self, token: str) -> frozenset[str]: ...


class MetricsHandler(EasyHandler):
    """``GET metrics``: for administrators, and for tokens with the scope to read metrics."""

    # A token of another service of the Hub belongs to no user, so it cannot log in.
    @allow_unauthenticated
    async def get(self) -> None:
        if self.caller is None or not self.caller.admin:
            await self._check_token()
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(exposition())

    async def _check_token(self) -> None:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        people = self.state.users
        sent = scheme.lower() in ("token", "bearer") and bool(token.strip())
        if sent and isinstance(people, TokenScopes):
            scopes = await people.scopes(token.strip())
            if "read:metrics" in scopes and scopes & SERVICE_SCOPES:
                return
            if not scopes and self.caller is None:
                raise NotLoggedIn
        if self.caller is None and not sent:
            raise NotLoggedIn
        raise Forbidden(
            "Metrics require an administrator of the Hub, or a token with the scopes read:metrics "
            f"and {ACCESS}."
        )


class CallMetricsHandler(EasyHandler):
    """``GET metrics`` of a server for given bundles: for all who may call."""

    key_scopes: ClassVar = {"GET": (Scope.READ,)}

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(exposition())


OPERATIONS = {
    "GET /health/live": Operation(
        "getLive",
        "Check whether the server runs",
        ok("It runs.", Health),
        tag="Health",
        open=True,
    ),
    "GET /health/ready": Operation(
        "getReady",
        "Check whether the server accepts calls",
        ok("It accepts calls.", Health),
        (503,),
        tag="Health",
        open=True,
    ),
}
