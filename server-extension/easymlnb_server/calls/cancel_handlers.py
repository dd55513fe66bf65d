"""Cancel running calls by their request ids."""

from typing import ClassVar

from tornado import web

from easymlnb.contract.errors import CallCancelled, CallNotFound
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.calls.idempotency import Waiter
from easymlnb_server.calls.in_flight import RunningCall
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.grants import Scope
from easymlnb_server.openapi.document import Operation, done
from easymlnb_server.uploads.handlers import owner_of


class RunningCallHandler(EasyHandler):
    """``DELETE calls/{request_id}``: stop one's own call; administrators also others'."""

    actions: ClassVar[dict[str, str]] = {"DELETE": "execute"}
    key_scopes: ClassVar = {"DELETE": (Scope.CALL,)}

    def accepts_token(self, token: PageToken) -> bool:
        return True  # whose it is decides, and for which service: see `_found`

    @web.authenticated
    def delete(self, request_id: str) -> None:
        found = self._found(request_id, owner_of(self))
        if not found and self.state.services.shared and self.caller and self.caller.admin:
            found = self._found(request_id, None)
        if not found:
            raise CallNotFound
        for call in found:
            call.stop(CallCancelled())
        self.set_status(204)
        self.finish()

    def _found(self, request_id: str, owner: str | None) -> list[RunningCall | Waiter]:
        service = self.page_token.service if self.page_token is not None else None
        running = self.state.in_flight.find(request_id, owner, service)
        return [*running, *self.state.idempotency.find_waiters(request_id, owner, service)]


OPERATIONS = {
    "DELETE /calls/{request_id}": Operation(
        "stopCall",
        "Stop a call of yours",
        done("The call is asked to stop; its caller gets `cancelled`."),
        tag="Call",
        description="The id is the `X-Request-Id` that the call came with, or got.",
    ),
}
