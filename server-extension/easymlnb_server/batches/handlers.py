"""The route that submits batches."""

import csv
import io
import json
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta
from tornado import web

from easymlnb.contract.errors import BadRequest, TooLarge
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.json_values import decode_body
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.batches.manager import Table
from easymlnb_server.batches.models import BatchOptions
from easymlnb_server.batches.sweep_handlers import OPERATIONS as SWEEPS
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.http.spooled_body import SpooledBodyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.grants import Scope
from easymlnb_server.jobs import responses
from easymlnb_server.jobs.handlers import job_owner, send_accepted, table_submission
from easymlnb_server.jobs.models import BATCH, Job, JobAccepted
from easymlnb_server.jobs.page_handlers import COLORS, shown_time
from easymlnb_server.jobs.query import number
from easymlnb_server.openapi.document import (
    BYTES,
    CALLING,
    HTML,
    JSON,
    TEXT,
    Operation,
    ok,
    query_parameter,
)
from easymlnb_server.services import summaries

MAX_TABLE = 2 * 2**30
"""Maximum bytes of a table in the body of a request, or of all uploads of a batch."""

MAX_UPLOADS = 1000

RECENT = 10
"""Batches that the page lists."""

KEEP, REFUSE = "keep", "refuse"


class BatchOfUploads(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch of uploads: one table or ZIP, or a file for each row."""

    uploads: Annotated[list[str], Meta(min_length=1, max_length=MAX_UPLOADS)]
    values: dict[str, Any] = {}
    extra_columns: Annotated[str, Meta(pattern=f"^({KEEP}|{REFUSE})$")] = REFUSE


class BatchesHandler(SpooledBodyHandler):
    """``POST services/{name}/batches``: the body is the table, or names uploads."""

    key_scopes: ClassVar = {"POST": (Scope.JOBS,)}

    def accepts_token(self, token: PageToken) -> bool:
        return not token.public and token.service == self.path_args[0]

    def body_limit(self) -> int:
        spec = self.state.invoker.find(self.path_args[0], self.caller).spec
        return self.state.quotas.max_body(spec.name, self.caller, MAX_TABLE)

    @web.authenticated
    async def post(self, name: str) -> None:
        body = self.read_spooled_body()
        media_type = self.request.headers.get("Content-Type", "")
        chosen = self._options(media_type)
        if media_type.partition(";")[0].strip().lower() == JSON:
            if not isinstance(body, bytes):
                raise TooLarge("The list of uploads is too long.")
            table, chosen = self._uploads(name, body, chosen)
        elif isinstance(body, FileBody):
            assert body.file is not None
            table = (body.file,)
        else:
            table = (body,)
        if not any(len(one) for one in table):
            raise BadRequest("The table is empty. Send a CSV, a parquet table or a ZIP of files.")
        submission = table_submission(self, name, number(self, "not_before", 0.0, 1e11))
        send_accepted(self, await self.state.batches.submit(submission, chosen, table))

    def _options(self, media_type: str) -> BatchOptions:
        get = self.get_query_argument
        extra = get("extra_columns", REFUSE)
        if extra not in (KEEP, REFUSE):
            raise BadRequest(f"extra_columns must be {KEEP} or {REFUSE}, not {extra[:40]!r}.")
        name = get("file", "")[:200]
        return BatchOptions(
            names=(name,) if name else (),
            media_type=media_type,
            values=values_of(get("values", "")),
            keep=extra == KEEP,
        )

    def _uploads(self, name: str, data: bytes, chosen: BatchOptions) -> tuple[Table, BatchOptions]:
        asked = decode_body(
            data, BatchOfUploads, 'Send a table, or JSON such as {"uploads": ["id"]}'
        )
        uploads = self.state.uploads
        files = tuple(file for _, file in uploads.files(asked.uploads, name))
        return files, BatchOptions(
            names=uploads.names(asked.uploads),
            values=asked.values or chosen.values,
            keep=asked.extra_columns == KEEP or chosen.keep,
        )


class BatchPageHandler(PageHandler):
    """``GET services/{name}/batches/page``: run a service on a table, for people."""

    @web.authenticated
    async def get(self, name: str) -> None:
        spec = self.target(name, Action.CALL).spec
        published = self.state.services.is_published(name)
        found: list[Job] = []
        if published:
            found, _ = await self.state.jobs.find(
                owner=job_owner(self), service=name, kind=BATCH, limit=RECENT
            )
        self.page(
            "batch.html",
            spec=spec,
            published=published,
            files=[one.name for one in file_parameters(spec.input)],
            fields=summaries.fields(spec),
            example=_example_table(summaries.example(spec)),
            jobs=[responses.shown(self.state.jobs.current(job), self.address) for job in found],
            colors=COLORS,
            time=shown_time,
        )


def _example_table(example: dict[str, Any]) -> str:
    """Return a CSV with one row; empty if a cell would be a file."""
    if not all(isinstance(value, str | int | float | bool | None) for value in example.values()):
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(example)
    writer.writerow([json.dumps(v) if isinstance(v, bool) else v for v in example.values()])
    return text.getvalue()


def values_of(text: str) -> dict[str, Any]:
    """Return the parameters of a query that are the same for all rows; raises ``BadRequest``."""
    if not text:
        return {}
    return decode_body(text.encode(), dict[str, Any], 'Set values to JSON such as {"trees": 10}')


TABLES = dict.fromkeys(
    ("text/csv", "application/vnd.apache.parquet", "application/zip", "application/octet-stream"),
    BYTES,
)

OPERATIONS = {
    **SWEEPS,
    "GET /services/{name}/batches/page": Operation(
        "getBatchPage",
        "Run a service on a table, for people",
        ok("A page.", HTML),
        (503,),
        tag="Jobs",
    ),
    "POST /services/{name}/batches": Operation(
        "submitBatch",
        "Run a service on each row of a table",
        ok("The batch is stored and will run.", JobAccepted, 202),
        CALLING,
        tag="Jobs",
        body={**TABLES, JSON: BatchOfUploads},
        query=(
            query_parameter("values", "JSON with parameters that are the same for all rows.", TEXT),
            query_parameter(
                "extra_columns",
                "`keep` copies columns that are no parameters to the result.",
                {"enum": [KEEP, REFUSE], "default": REFUSE},
            ),
            query_parameter("file", "The table's file name.", TEXT),
            query_parameter("timeout", "Seconds that the batch may run.", {"type": "number"}),
            query_parameter(
                "not_before", "When it may start, in seconds since 1970.", {"type": "number"}
            ),
        ),
        description=(
            "The body is a CSV or parquet table with a column for each parameter, or a ZIP whose "
            "files are the rows. The response is a job, whose result has all rows in their order."
        ),
    ),
}
