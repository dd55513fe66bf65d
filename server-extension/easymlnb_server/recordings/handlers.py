"""Routes of recorded and flagged calls: flag, list, read, download, delete."""

import asyncio
from functools import partial

from msgspec import UNSET
from tornado import web

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.json_values import decode_body
from easymlnb.contract.names import quoted
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.calls.responses import attachment
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.downloads import send_chunks
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.access import SINGLE_USER, Action, owner_key
from easymlnb_server.openapi.document import (
    BYTES,
    COUNT,
    HTML,
    JSON,
    TEXT,
    Content,
    Operation,
    done,
    ok,
    query_parameter,
)
from easymlnb_server.recordings import dataset, inputs
from easymlnb_server.recordings.manager import Flagger
from easymlnb_server.recordings.models import (
    KINDS,
    MAX_CALL,
    Flagged,
    FlagRequest,
    RecordContent,
    RecordList,
    RecordSummary,
    Removed,
)
from easymlnb_server.recordings.rules import caller_key, caller_label, may_flag
from easymlnb_server.services.responses import timestamp
from easymlnb_server.store.recordings import RecordRow
from easymlnb_server.uploads.handlers import owner_of

PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000
SHOWN = 100
"""Calls of each kind on the page."""

MAX_PAGE_FLAG = 64 * 1024
"""Bytes of a flag from an app page, which has no inputs in it."""

MAX_DATASET = 100_000
"""Calls in a data set."""

CHUNK = 2**20
ME = "me"


async def note_use(handler: EasyHandler, service: str, what: str, **more: object) -> None:
    """Record in the audit log that recorded calls were read or deleted."""
    action = "record.delete" if what == "deleted" else "record.read"
    services = handler.state.services
    owner = services.named(service, handler.caller).owner
    await handler.record(action, service, owner=owner, details={"what": what, **more})


def summary(row: RecordRow) -> RecordSummary:
    """Return a row as responses contain it."""
    same = ("id", "kind", "version", "request_id", "reason", "source", "status", "code")
    fields = {name: getattr(row, name) for name in same}
    return RecordSummary(
        **fields,
        seconds=row.seconds,
        size=row.size,
        time=timestamp(row.time),
        caller=caller_label(row.caller),
        inputs=row.preview,
        expires=None if row.expires is None else timestamp(row.expires),
    )


class FlagHandler(BodyHandler):
    """``POST services/{name}/flag``: keep a call, with a reason."""

    def accepts_token(self, token: PageToken) -> bool:
        return token.service == self.path_args[0]

    def body_limit(self) -> int:
        self.target(self.path_args[0], Action.CALL)
        return MAX_CALL * 2 if self.page_token is None else MAX_PAGE_FLAG

    @web.authenticated
    async def post(self, name: str) -> None:
        given = _flag_request(self.read_body())
        target = self.target(name, Action.CALL)
        visitor = self.page_token is not None and self.page_token.public
        row = await self.state.recordings.flag(
            target.spec, target.version, Flagger(owner_of(self), visitor), given
        )
        response = Flagged(id=row.id, service=name, request_id=row.request_id, version=row.version)
        self.write_json(response, 201)


def _flag_request(body: bytes) -> FlagRequest:
    example = '{"request_id": "...", "reason": "wrong label"}'
    advice = f"Flag a call with a JSON body such as {example}"
    given = decode_body(body, FlagRequest, advice, unique=len(body) < 2**20)
    if not given.reason.strip():
        raise BadRequest("The reason must not be empty.")
    if not given.request_id and given.input is UNSET:
        raise BadRequest("Send the request_id of the call, or its input and result.")
    return given


class RecordsHandler(EasyHandler):
    """``GET`` and ``DELETE services/{name}/records``."""

    audited_reads = True

    @web.authenticated
    async def get(self, name: str) -> None:
        self.target(name, Action.MANAGE)
        kind, start = kind_of(self), number(self, "start", 0, 10**9)
        limit = number(self, "limit", PAGE_SIZE, MAX_PAGE_SIZE) or PAGE_SIZE
        rows, total = await self.state.recordings.page(name, kind, start, limit)
        await note_use(self, name, "listed")
        dropped = dict(self.state.recordings.keeper.dropped.get(name, ()))
        end = start + len(rows)
        self.write_json(
            RecordList(
                records=[summary(row) for row in rows],
                total=total,
                next=end if rows and end < total else None,
                dropped=dropped,
            )
        )

    @web.authenticated
    async def delete(self, name: str) -> None:
        caller = self.get_query_argument("caller", "")
        everything = self.get_query_argument("all", "") == "true"
        if caller == ME:
            self.target(name, Action.CALL)
            caller = caller_key(owner_of(self))
        else:
            self.target(name, Action.MANAGE)
            if bool(caller) == everything:
                raise BadRequest(
                    "Say whose calls to delete: ?caller=NAME, ?caller=me or ?all=true."
                )
            if caller and caller != SINGLE_USER and not caller.startswith("visitor "):
                caller = owner_key(caller)
        removed = await self.state.recordings.remove(name, caller=caller, kind=kind_of(self))
        await note_use(self, name, "deleted", calls=removed)
        self.write_json(Removed(removed=removed))


async def _read(handler: EasyHandler, name: str, id: str) -> tuple[ServiceSpec, RecordRow]:
    """Return a service of the caller and one of its calls; reading it is audited."""
    spec = handler.target(name, Action.MANAGE).spec
    row = await handler.state.recordings.row(name, id)
    await note_use(handler, name, "read", id=id)
    return spec, row


class RecordHandler(EasyHandler):
    """``GET`` and ``DELETE services/{name}/records/{id}``."""

    audited_reads = True

    @web.authenticated
    async def get(self, name: str, id: str) -> None:
        spec, row = await _read(self, name, id)
        self.write_json(await asyncio.to_thread(self._content, row, spec))

    def _content(self, row: RecordRow, spec: ServiceSpec) -> RecordContent:
        call = self.state.recordings.content(row)
        return RecordContent(
            record=summary(row),
            input=inputs.values_of(call, spec),
            input_type=call.input_type,
            result=inputs.result_of(call),
            result_type=call.result_type,
            removed=list(call.removed),
            models=call.models,
        )

    @web.authenticated
    async def delete(self, name: str, id: str) -> None:
        self.target(name, Action.MANAGE)
        await self.state.recordings.row(name, id)
        await self.state.recordings.remove(name, id=id)
        await note_use(self, name, "deleted", id=id)
        self.set_status(204)
        self.finish()


class RecordCodeHandler(EasyHandler):
    """``GET services/{name}/records/{id}/code``: a notebook's cell that repeats the call."""

    audited_reads = True

    @web.authenticated
    async def get(self, name: str, id: str) -> None:
        spec, row = await _read(self, name, id)
        url = self.address.removesuffix("easymlnb/")
        recordings = self.state.recordings
        code = await asyncio.to_thread(
            lambda: inputs.code_cell(name, spec, id, recordings.content(row), url)
        )
        self.set_header("Content-Type", "text/x-python; charset=utf-8")
        self.finish(code)


class DatasetHandler(EasyHandler):
    """``GET services/{name}/records/dataset``: all calls of a kind as a file."""

    audited_reads = True

    @web.authenticated
    async def get(self, name: str) -> None:
        spec = self.target(name, Action.MANAGE).spec
        form = self.get_query_argument("format", "zip")
        if form not in dataset.FORMATS:
            raise BadRequest(f"format must be one of {', '.join(dataset.FORMATS)}.")
        recordings = self.state.recordings
        rows, _ = await recordings.page(name, kind_of(self), 0, MAX_DATASET)
        await note_use(self, name, "downloaded")
        file = await asyncio.to_thread(dataset.write, form, rows, recordings.content, spec)
        self.set_header("Content-Type", dataset.FORMATS[form])
        label = f"{name.replace('/', '-')}-{kind_of(self) or 'calls'}.{form}"
        self.set_header("Content-Disposition", attachment(label))
        with file:
            await send_chunks(self, partial(file.read, CHUNK))


class RecordsPageHandler(PageHandler):
    """``GET services/{name}/records/page``: flags, recorded calls and comparisons."""

    audited_reads = True

    @web.authenticated
    async def get(self, name: str) -> None:
        target = self.target(name, Action.MANAGE)
        recordings = self.state.recordings
        pages = {kind: await recordings.page(name, kind, 0, SHOWN) for kind in reversed(KINDS)}
        await note_use(self, name, "listed")
        versions = []
        if self.state.services.is_published(name):
            versions = await self.state.publisher.versions(name)
        self.page(
            "records.html",
            spec=target.spec,
            quoted=quoted(name),
            tables={
                kind: {"rows": [summary(row) for row in rows], "total": total}
                for kind, (rows, total) in pages.items()
            },
            record=target.spec.record,
            flags=may_flag(target.spec, visitor=False),
            dropped=dict(recordings.keeper.dropped.get(name, ())),
            comparisons=await self.state.comparisons.newest(name),
            versions=[version.number for version in versions],
        )


def kind_of(handler: EasyHandler) -> str:
    """Return the kind of calls that a request asks for; empty for all."""
    kind = handler.get_query_argument("kind", "")
    if kind not in ("", *KINDS):
        raise BadRequest(f"kind must be one of {', '.join(KINDS)}.")
    return kind


def number(handler: EasyHandler, name: str, default: int, most: int) -> int:
    """Return a whole number of the query string; raises ``BadRequest``."""
    text = handler.get_query_argument(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text[:12]) > most:
        raise BadRequest(f"{name} must be a whole number from 0 to {most}.")
    return int(text)


_KIND = query_parameter(
    "kind", "Only calls of this kind.", {**TEXT, "enum": list(KINDS)}, required=False
)
_DATASETS: Content = {
    "application/zip": BYTES,
    "application/jsonl": BYTES,
    "text/csv": TEXT,
}
_OWNER = "For those who manage the service."

OPERATIONS = {
    "POST /services/{name}/flag": Operation(
        "flagCall",
        "Flag a call",
        ok("The call is kept with its inputs and result.", Flagged, 201),
        (403, 404, 429, 503),
        tag="Call",
        body={JSON: FlagRequest},
    ),
    "GET /services/{name}/records": Operation(
        "listRecords",
        "List recorded and flagged calls",
        ok("Newest first.", RecordList),
        (503,),
        tag="Records",
        description=_OWNER,
        query=(
            _KIND,
            query_parameter("start", "Calls to leave out before the first.", COUNT),
            query_parameter("limit", f"How many at most; default {PAGE_SIZE}.", COUNT),
        ),
    ),
    "DELETE /services/{name}/records": Operation(
        "removeRecords",
        "Delete recorded and flagged calls",
        ok("How many were deleted.", Removed),
        (503,),
        tag="Records",
        description="Callers can delete their own with `caller=me`.",
        query=(
            _KIND,
            query_parameter("caller", "Only those of this caller; `me` for your own.", TEXT),
            query_parameter("all", "`true` to delete those of all callers.", TEXT),
        ),
    ),
    "GET /services/{name}/records/{id}": Operation(
        "getRecord",
        "Read a recorded call",
        ok("Inputs and result.", RecordContent),
        (503,),
        tag="Records",
        description=_OWNER,
    ),
    "DELETE /services/{name}/records/{id}": Operation(
        "removeRecord", "Delete a recorded call", done("It is deleted."), (503,), tag="Records"
    ),
    "GET /services/{name}/records/{id}/code": Operation(
        "getRecordCode",
        "Get a notebook's cell that repeats a recorded call",
        ok("Python code.", {"text/x-python": TEXT}),
        (503,),
        tag="Records",
        description=_OWNER,
    ),
    "GET /services/{name}/records/dataset": Operation(
        "getDataset",
        "Download recorded calls as a data set",
        ok("All calls of the kind.", _DATASETS),
        (503,),
        tag="Records",
        description=_OWNER,
        query=(
            _KIND,
            query_parameter("format", "Default: zip.", {**TEXT, "enum": list(dataset.FORMATS)}),
        ),
    ),
    "GET /services/{name}/records/page": Operation(
        "getRecordsPage",
        "Open the page of recorded calls",
        ok("A page for people.", HTML),
        (503,),
        tag="Documents",
    ),
}
