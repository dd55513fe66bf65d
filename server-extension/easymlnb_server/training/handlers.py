"""``POST jobs/{id}/use``: put the model that a job has trained in production."""

from typing import ClassVar

from tornado import web

from easymlnb.contract.training import PRODUCTION
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.jobs.handlers import JobHandlerBase
from easymlnb_server.jobs.models import JobModelShown
from easymlnb_server.openapi.document import Operation, ok
from easymlnb_server.training.versions import put_in_production


class UseModelHandler(JobHandlerBase):
    """``POST jobs/{id}/use``: only for those who manage the model."""

    key_scopes: ClassVar = {}

    def accepts_token(self, token: PageToken) -> bool:
        return not token.public  # ``found`` checks the service

    @web.authenticated
    async def post(self, id: str) -> None:
        job = await self.found(id)
        made = await put_in_production(self.state.models, job, self.caller)
        details = {"alias": PRODUCTION, "version": made.version, "job": job.id}
        await self.record("model.alias", made.name, owner=job.author, details=details)
        self.state.model_templates.follow(made.name)
        self.write_json(made)


OPERATIONS = {
    "POST /jobs/{id}/use": Operation(
        "useJobModel",
        "Put the model of a training in production",
        ok("The alias `production` names the version that the job made.", JobModelShown),
        (400, 503),
        tag="Jobs",
    ),
}
