"""Metrics of a shared service in Prometheus's format."""

from typing import Protocol, runtime_checkable

from jupyter_server.auth.decorator import allow_unauthenticated

from easymlnb.contract.errors import Forbidden, NotLoggedIn
from easymlnb.contract.hub_config import ACCESS
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.observability.metrics import CONTENT_TYPE, exposition

ENTRANCE = {ACCESS, "access:services"}
NOT_FOR_YOU = (
    "Metrics require an administrator of the Hub, or a token with the scopes read:metrics and "
    f"{ACCESS}."
)


@runtime_checkable
class Scoped(Protocol):
    """Knows what a token is good for, whether it is a user's or another service's."""

    async def scopes(self, token: str) -> frozenset[str]: ...


class MetricsHandler(EasyHandler):
    """``GET metrics``: for administrators, and for a token that was made to read metrics."""

    # Another service of the Hub is nobody's login anywhere else.
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
        if sent and isinstance(people, Scoped):
            held = await people.scopes(token.strip())
            if "read:metrics" in held and held & ENTRANCE:
                return
            if not held and self.caller is None:
                raise NotLoggedIn
        if self.caller is None and not sent:
            raise NotLoggedIn
        raise Forbidden(NOT_FOR_YOU)
