"""Make a running call a job."""

from typing import ClassVar

from tornado import web

from easymlnb.contract.errors import CallNotFound
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.grants import Scope
from easymlnb_server.jobs import promotion
from easymlnb_server.jobs.handlers import job_owner, send_accepted
from easymlnb_server.jobs.models import JobAccepted
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.openapi.document import Operation, ok
from easymlnb_server.uploads.handlers import owner_of


class CallToJobHandler(EasyHandler):
    """``POST calls/{request_id}/job``: let one's own running call continue as a job."""

    actions: ClassVar[dict[str, str]] = {"POST": "execute"}
    key_scopes: ClassVar = {"POST": (Scope.JOBS,)}

    def accepts_token(self, token: PageToken) -> bool:
        return True  # whose it is decides, and for which service: see `_found`

    @web.authenticated
    async def post(self, request_id: str) -> None:
        call = self._found(request_id)
        job = await promotion.hand_over(self.state.jobs, call, self._submission(call))
        send_accepted(self, job)

    def _found(self, request_id: str) -> Invocation:
        service = self.page_token.service if self.page_token is not None else None
        for call in self.state.in_flight.find(request_id, owner_of(self), service):
            if isinstance(call, Invocation) and call.handle is not None:
                return call
        raise CallNotFound

    def _submission(self, call: Invocation) -> Submission:
        request = call.request
        return Submission(
            service=request.service,
            caller=self.caller,
            owner=job_owner(self),
            body=request.body,
            content_type=request.content_type,
            accept=request.accept,
            request_id=request.request_id,
            view=request.view,
            version=request.version,
            low_priority=request.low_priority,
        )


OPERATIONS = {
    "POST /calls/{request_id}/job": Operation(
        "continueAsJob",
        "Let a running call of yours continue as a job",
        ok("The call continues where it is; its caller gets `cancelled`.", JobAccepted, 202),
        (400, 404, 409, 503),
        tag="Jobs",
        description="The id is the `X-Request-Id` that the call came with, or got.",
    ),
}
