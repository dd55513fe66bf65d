"""The routes of sweeps: submit one, and read its table."""

from typing import ClassVar

from tornado import web

from easymlnb.contract.errors import BadRequest, JobNotFound
from easymlnb.contract.json_values import decode_body
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.batches.points import SweepRequest
from easymlnb_server.batches.sweep_table import SweepTable, as_csv
from easymlnb_server.calls.responses import attachment
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.grants import Scope
from easymlnb_server.jobs.handlers import JobHandlerBase, send_accepted, table_submission
from easymlnb_server.jobs.models import SWEEP, JobAccepted
from easymlnb_server.openapi.document import CALLING, JSON, TEXT, Operation, ok, query_parameter

MAX_BODY = 16 * 2**20


class SweepsHandler(BodyHandler):
    """``POST services/{name}/sweeps``: run a service with many parameters."""

    key_scopes: ClassVar = {"POST": (Scope.JOBS,)}

    def accepts_token(self, token: PageToken) -> bool:
        return not token.public and token.service == self.path_args[0]

    def body_limit(self) -> int:
        self.state.invoker.find(self.path_args[0], self.caller)
        return MAX_BODY

    @web.authenticated
    async def post(self, name: str) -> None:
        advice = 'Send JSON such as {"grid": {"trees": [10, 50]}}'
        request = decode_body(self.read_body(), SweepRequest, advice)
        submission = table_submission(self, name)
        send_accepted(self, await self.state.sweeps.submit(submission, request))


class TrialsHandler(JobHandlerBase):
    """``GET jobs/{id}/trials``: the table of a sweep, also while it runs."""

    @web.authenticated
    async def get(self, id: str) -> None:
        job = await self.jobs.get(id, self.owner)
        if job.kind != SWEEP:
            raise JobNotFound(f"The job {id} is no sweep, so it has no trials.")
        kind = self.get_query_argument("format", "json")
        if kind not in ("json", "csv"):
            raise BadRequest(f"format must be json or csv, not {kind[:40]!r}.")
        table = await self.state.sweeps.table(job)
        if kind == "json":
            self.write_json(table)
            return
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", attachment(f"{job.id}.csv"))
        self.finish(as_csv(table))


OPERATIONS = {
    "POST /services/{name}/sweeps": Operation(
        "submitSweep",
        "Run a service with many parameters",
        ok("The sweep is stored and will run.", JobAccepted, 202),
        CALLING,
        tag="Jobs",
        body={JSON: SweepRequest},
        query=(query_parameter("timeout", "Seconds that it may run.", {"type": "number"}),),
        description=(
            "Each combination of the grid, or each point, is a job of its own. Canceling the sweep "
            "cancels them."
        ),
    ),
    "GET /jobs/{id}/trials": Operation(
        "getTrials",
        "The table of a sweep",
        ok("The trials in their order.", SweepTable),
        (400, 503),
        tag="Jobs",
        query=(query_parameter("format", "json or csv.", TEXT | {"enum": ["json", "csv"]}),),
    ),
}
