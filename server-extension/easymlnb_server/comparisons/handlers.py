"""Routes of comparisons: start, follow, read, delete."""

from typing import Any

import msgspec
from msgspec import UNSET
from tornado import web

from easymlnb.contract.errors import BadRequest, ComparisonNotFound, ServiceNotFound
from easymlnb.contract.json_values import decode_body
from easymlnb.contract.names import quoted
from easymlnb_server.comparisons.findings import ResultFinding, Tolerance
from easymlnb_server.comparisons.models import (
    Comparison,
    ComparisonList,
    ComparisonRequest,
    ComparisonSummary,
    ItemResponse,
    ItemResult,
    ShadowList,
    UploadedTable,
)
from easymlnb_server.comparisons.summary import summarize
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.comparison_charts import latencies, outcome_bar, outcomes
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.openapi.document import (
    COUNT,
    HTML,
    JSON,
    Operation,
    done,
    ok,
    query_parameter,
)
from easymlnb_server.services.responses import timestamp
from easymlnb_server.store.comparisons import UNFINISHED, ComparisonRow, ItemRow

MAX_BODY = 64 * 1024
MAX_WAIT = 30.0
"""Longest ``wait`` in seconds."""


class ComparisonsHandler(BodyHandler):
    """``GET`` and ``POST services/{name}/comparisons``."""

    def body_limit(self) -> int:
        self.target(self.path_args[0], Action.MANAGE)
        return MAX_BODY

    @web.authenticated
    async def get(self, name: str) -> None:
        self.target(name, Action.MANAGE)
        rows = await self.state.comparisons.newest(name)
        self.write_json(ComparisonList(comparisons=[summary(row, ended) for row, ended in rows]))

    @web.authenticated
    async def post(self, name: str) -> None:
        request = _request(self.read_body())
        self.target(name, Action.MANAGE)
        if not self.state.services.is_published(name):
            raise ServiceNotFound(name)
        upload = None
        if isinstance(request.on, UploadedTable):
            ((_, upload),) = self.state.uploads.files([request.on.upload], name)
        made_by = self.caller.name if self.caller is not None else ""
        comparisons = self.state.comparisons
        row = await comparisons.create(name, self._resolved(name, request), made_by, upload)
        comparisons.start()
        owner = self.state.services.named(name, self.caller).owner
        about = {"comparison": row.id, "versions": [row.before, row.after], "on": row.source}
        await self.record("comparison.start", name, owner=owner, details=about)
        self.set_header("Location", f"{self.base_url}easymlnb/comparisons/{row.id}")
        self.write_json(summary(row, 0), 202)

    def _resolved(self, name: str, request: ComparisonRequest) -> ComparisonRequest:
        """Return a request with numbers for aliases; raises ``VersionNotFound``."""
        find = self.state.published.services[name].find
        first, second = request.versions
        numbers = find(str(first)), find(str(second))
        return msgspec.structs.replace(request, versions=numbers)


class ShadowsHandler(EasyHandler):
    """``GET services/{name}/comparisons/shadow``: how a version and its shadow differ."""

    @web.authenticated
    def get(self, name: str) -> None:
        self.target(name, Action.MANAGE)
        self.write_json(ShadowList(shadows=self.state.shadow_comparisons.of(name)))


class ShadowsPageHandler(PageHandler):
    """``GET services/{name}/comparisons/shadow/page``: the same for people."""

    @web.authenticated
    def get(self, name: str) -> None:
        target = self.target(name, Action.MANAGE)
        service = self.state.published.get(name)
        found = self.state.shadow_comparisons.of(name)
        self.page(
            "shadow.html",
            spec=target.spec,
            quoted=quoted(name),
            current=service.traffic.traffic.shadow if service is not None else None,
            shadows=[(one, outcome_bar(one.outcomes) if one.outcomes else "") for one in found],
        )


def _request(body: bytes) -> ComparisonRequest:
    example = '{"versions": [3, 4], "on": "examples"}'
    return decode_body(
        body, ComparisonRequest, f"Start a comparison with a JSON body such as {example}"
    )


class OneComparison:
    """What the handlers of one comparison share."""

    async def find(self, handler: EasyHandler, id: str) -> ComparisonRow:
        """Return a comparison of a service that the caller manages.

        Raises ``ComparisonNotFound`` also without the right, so that ids do not leak.
        """
        row = await handler.state.comparisons.get(id)
        if not handler.can_manage(row.service):
            raise ComparisonNotFound(id)
        return row


class ComparisonHandler(EasyHandler, OneComparison):
    """``GET`` and ``DELETE comparisons/{id}``."""

    @web.authenticated
    async def get(self, id: str) -> None:
        row = await self.find(self, id)
        if seconds := _wait(self):
            await self.state.comparisons.wait(id, seconds)
            row = await self.find(self, id)
        items = await self.state.comparisons.items(id)
        self.write_json(full(row, items))

    @web.authenticated
    async def delete(self, id: str) -> None:
        row = await self.find(self, id)
        await self.state.comparisons.remove(id)
        owner = self.state.services.named(row.service, self.caller).owner
        await self.record("comparison.delete", row.service, owner=owner, details={"comparison": id})
        self.set_status(204)
        self.finish()


class ComparisonPageHandler(PageHandler, OneComparison):
    """``GET comparisons/{id}/page``: the comparison with plots."""

    @web.authenticated
    async def get(self, id: str) -> None:
        row = await self.find(self, id)
        items = await self.state.comparisons.items(id)
        results = [result for _, result in items]
        target = self.target(row.service, Action.MANAGE)
        self.page(
            "comparison.html",
            spec=target.spec,
            quoted=quoted(row.service),
            comparison=full(row, items),
            unfinished=row.state in UNFINISHED,
            plots=(outcomes(results), latencies(results)) if results else (),
        )


def _wait(handler: EasyHandler) -> float:
    text = handler.get_query_argument("wait", "")
    if not text:
        return 0.0
    if not text.isascii() or not text.isdigit() or int(text[:6]) > MAX_WAIT:
        raise BadRequest(f"wait must be a whole number of seconds from 0 to {MAX_WAIT:g}.")
    return float(text)


def _about(row: ComparisonRow, ended: int) -> dict[str, Any]:
    return {
        "id": row.id,
        "service": row.service,
        "versions": (row.before, row.after),
        "on": row.source,
        "state": row.state,
        "total": row.total,
        "done": ended,
        "created": timestamp(row.created),
        "ended": None if row.ended is None else timestamp(row.ended),
        "made_by": row.made_by,
        "error": UNSET if row.error is None else dict(row.error),
    }


def summary(row: ComparisonRow, ended: int) -> ComparisonSummary:
    """Return a comparison as lists contain it."""
    return ComparisonSummary(**_about(row, ended))


def full(row: ComparisonRow, items: list[tuple[ItemRow, ItemResult]]) -> Comparison:
    """Return a comparison with its items."""
    results = [result for _, result in items]
    return Comparison(
        **_about(row, len(items)),
        tolerance=msgspec.convert(row.options, Tolerance),
        summary=summarize(results, (row.before, row.after)),
        items=[_item(item, result) for item, result in items],
    )


def _item(item: ItemRow, result: ItemResult) -> ItemResponse:
    finding = result.finding or ResultFinding()
    return ItemResponse(
        number=item.number,
        outcome=result.outcome,
        inputs=result.inputs,
        record=item.record or "",
        note=result.note,
        before=result.before,
        after=result.after,
        count=finding.count,
        differences=finding.differences,
    )


_OWNER = "For those who manage the service."

OPERATIONS = {
    "GET /services/{name}/comparisons": Operation(
        "listComparisons",
        "List the comparisons of a service",
        ok("The newest first.", ComparisonList),
        (503,),
        tag="Comparisons",
        description=_OWNER,
    ),
    "POST /services/{name}/comparisons": Operation(
        "startComparison",
        "Compare two versions on the same inputs",
        ok("It runs in the background; `Location` is where it is.", ComparisonSummary, 202),
        (404, 409, 422, 503),
        tag="Comparisons",
        body={JSON: ComparisonRequest},
        description=_OWNER,
    ),
    "GET /services/{name}/comparisons/shadow": Operation(
        "listShadows",
        "See how the answers of a version and its shadow differ",
        ok("Since the server started.", ShadowList),
        tag="Comparisons",
        description=_OWNER,
    ),
    "GET /services/{name}/comparisons/shadow/page": Operation(
        "getShadowsPage",
        "Open the page of shadow calls",
        ok("A page for people.", HTML),
        tag="Documents",
        description=_OWNER,
    ),
    "GET /comparisons/{id}": Operation(
        "getComparison",
        "Read a comparison",
        ok("The state, and the differences that were found so far.", Comparison),
        (503,),
        tag="Comparisons",
        query=(query_parameter("wait", "Seconds to wait for its end, at most 30.", COUNT),),
    ),
    "DELETE /comparisons/{id}": Operation(
        "removeComparison",
        "Stop and delete a comparison",
        done("It is deleted."),
        (503,),
        tag="Comparisons",
    ),
    "GET /comparisons/{id}/page": Operation(
        "getComparisonPage",
        "Open the page of a comparison",
        ok("A page for people.", HTML),
        (503,),
        tag="Documents",
    ),
}
