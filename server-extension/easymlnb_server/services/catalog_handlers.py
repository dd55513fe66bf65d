"""The catalog page, a service's page, and a service's metadata."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from msgspec import to_builtins
from tornado import web
from tornado.escape import url_escape

from easymlnb.contract.access_text import describe_access
from easymlnb.contract.errors import BadRequest
from easymlnb.contract.names import quoted
from easymlnb.contract.quality import QualityReport
from easymlnb.contract.snippets import snippets
from easymlnb_server.http import charts, version_charts
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.pages import PageHandler, markdown
from easymlnb_server.identity.access import PRIVATE, Action
from easymlnb_server.openapi.document import (
    COUNT,
    HTML,
    TEXT,
    Operation,
    list_of,
    ok,
    query_parameter,
)
from easymlnb_server.publishing.provenance import VersionProvenance
from easymlnb_server.publishing.traffic import view_of
from easymlnb_server.services import catalog, metadata_formats, summaries
from easymlnb_server.services.catalog import CatalogQuery
from easymlnb_server.traffic.responses import promotion_view

PAGE_SIZE = 48
"""Cards on one page of the catalog."""
SHOWN_CALLS = 50
"""Entries of the log on a service's page."""
SHOWN_TAGS = 16
"""Tags to choose from; the search finds the others."""
FAILED_SHOWN = 7 * 86400.0
"""Seconds for which the catalog lists a failed publication, unless a later one succeeds."""
WHOSE = ("", "mine", "others")
MAX_LIMIT = 1000
"""Maximum ``limit`` of a list."""

MAX_START = 10**9
"""Maximum ``start`` of a list."""


def query(handler: EasyHandler) -> CatalogQuery:
    """Return the query of a request; raises ``BadRequest``."""
    get = handler.get_query_argument
    sort = get("sort", "") or "name"
    if sort not in catalog.SORTS:
        raise BadRequest(f"sort must be one of {', '.join(catalog.SORTS)}.")
    whose = get("whose", "")
    if whose not in WHOSE:
        raise BadRequest(f"whose must be one of {', '.join(filter(None, WHOSE))}.")
    return CatalogQuery(
        text=get("q", ""),
        tags=tuple(tag for tag in handler.get_query_arguments("tag") if tag),
        author=get("author", ""),
        owner=get("owner", ""),
        whose=whose,
        me=handler.caller.name if handler.caller is not None else "",
        input=get("input", ""),
        license=get("license", ""),
        task=get("task", ""),
        library=get("library", ""),
        sort=sort,
        start=_number(get("start", "0"), 0, MAX_START, "start"),
        limit=_number(limit, 1, MAX_LIMIT, "limit") if (limit := get("limit", "")) else None,
    )


def query_string(query: CatalogQuery, start: int) -> str:
    """Return the query string of the page that begins at ``start``."""
    pairs = [
        ("q", query.text),
        *(("tag", tag) for tag in query.tags),
        ("author", query.author),
        ("owner", query.owner),
        ("whose", query.whose),
        ("input", query.input),
        ("license", query.license),
        ("task", query.task),
        ("library", query.library),
        ("sort", query.sort if query.sort != "name" else ""),
        ("limit", str(query.limit or "")),
        ("start", str(start or "")),
    ]
    return "&".join(f"{name}={url_escape(value)}" for name, value in pairs if value)


def _number(text: str, least: int, most: int, name: str) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}.")
    return int(text)


class CatalogHandler(PageHandler):
    """``GET /``: a card for each service."""

    @web.authenticated
    async def get(self) -> None:
        asked = replace(query(self), limit=None)
        services = catalog.entries(self.state.services, self.state.call_log.last, self.caller)
        page = catalog.search(services, replace(asked, limit=PAGE_SIZE))
        facets = catalog.facets(services)
        starting, failed = await self._unfinished(asked)
        self.page(
            "catalog.html",
            query=asked,
            page=page,
            services=services,
            facets=facets,
            tags=list(dict.fromkeys([*facets["tags"][:SHOWN_TAGS], *asked.tags])),
            next=None if page.next is None else query_string(asked, page.next),
            first=query_string(asked, 0),
            shared=self.state.services.shared,
            caller=self.caller,
            starting=starting,
            failed=failed,
            user_servers=await self._user_servers(asked),
        )

    def _shows_own(self, asked: CatalogQuery) -> bool:
        """Return whether the page shows the caller's publications and servers."""
        mine = asked.whose != "others" and asked.owner in ("", asked.me)
        return self.caller is not None and not asked.start and mine

    async def _user_servers(self, asked: CatalogQuery) -> list[Any]:
        servers, caller = self.state.user_servers, self.caller
        if not self.state.services.shared or servers is None or not self._shows_own(asked):
            return []
        assert caller is not None
        return list(await servers.get(caller.name))

    async def _unfinished(self, asked: CatalogQuery) -> tuple[list[dict[str, Any]], list[Any]]:
        """Return the bundles that start, with what they wait for, and those that failed."""
        publisher, caller = self.state.publisher, self.caller
        if caller is None or not self._shows_own(asked) or not self.state.published.ready:
            return [], []
        bundles, shared = publisher.store.bundles, self.state.services.shared
        starting = [
            {"bundle": bundle, "waits": publisher.waits_for(bundle.id)}
            for bundle in await asyncio.to_thread(bundles.unfinished)
            if caller.admin or caller.owns(bundle.owner)
        ]
        since = time.time() - FAILED_SHOWN
        failed = await asyncio.to_thread(lambda: bundles.failed(since=since))
        return starting, [one for one in failed if not shared or caller.owns(one.owner)]


class ServicePageHandler(PageHandler):
    """``GET services/{name}/page``: the page of one service."""

    @web.authenticated
    async def get(self, name: str) -> None:
        target = self.target(name, Action.SEE)
        spec, state = target.spec, self.state.services.state(name, self.caller)
        versions = []
        if state.version is not None:
            versions = await self.state.publisher.versions(name)
        about = catalog.described(
            self.state.services, self.state.call_log.last, name, self.caller, self.address
        )
        self.page(
            "service.html",
            spec=spec,
            about=about,
            state=state,
            description=markdown(spec.description),
            fields=summaries.fields(spec),
            result=summaries.kind(spec.output, spec.output),
            snippets=snippets(
                spec, summaries.example(spec), self.address.removesuffix("easymlnb/")
            ),
            versions=versions,
            json_ld=metadata_formats.schema_org(about),
            made=await self._provenance(name, state.version),
            quality=await self._quality(name),
            traffic=await self._traffic(name),
            **self._calls(name, target.version),
            **self._access(name),
            credentials=self.state.credentials.summaries(name) if self.can_manage(name) else None,
            stores_credentials=self.state.credentials.can_store,
        )

    async def _provenance(self, name: str, version: int | None) -> VersionProvenance | None:
        """Return what the page shows of the current version to those who manage the service."""
        if version is None or not self.can_manage(name):
            return None
        return await self.state.version_archive.describe(name, str(version), "")

    async def _quality(self, name: str) -> QualityReport | None:
        """Return what the quality gate found in the current version to those who manage it."""
        service = self.state.published.get(name)
        if service is None or not self.can_manage(name):
            return None
        return await self.state.publisher.gate.report(service.current.bundle)

    async def _traffic(self, name: str) -> dict[str, Any] | None:
        """Return what the page shows of the traffic to those who manage a published service."""
        service = self.state.published.get(name)
        if service is None or not self.can_manage(name):
            return None
        view, latest = view_of(service), await self.state.promotions.listed(name)
        history, order = self.state.metrics.history.of(name), list(view.weights)
        return {
            "view": view,
            "path": f"{self.base_url}easymlnb/services/{quoted(name)}",
            "bar": version_charts.traffic_bar(view.weights),
            "promotion": promotion_view(latest[0]) if latest else None,
            "may_promote": len(order) == 1 and not (latest and latest[0].state.active),
            "agreement": self.state.invoker.shadows.agreement.of(name),
            "latency": version_charts.over_time(version_charts.LATENCY, history, order),
            "errors": version_charts.over_time(version_charts.ERRORS, history, order),
        }

    def _calls(self, name: str, version: str) -> dict[str, Any]:
        """Return what the page shows of calls: to those who manage the service."""
        own = self.can_manage(name)
        entries = self.state.call_log.of(name) if own else []
        bars = charts.bars(entries, datetime.now(UTC))
        return {
            "own": own,
            "stats": self.state.metrics.stats(name, version) if own else None,
            "entries": entries[:-SHOWN_CALLS:-1],
            "bars": [bar for bar in bars if bar.calls],
            "plots": (charts.calls(bars), charts.times(entries)) if entries else (),
            "called": self.state.call_log.last(name) if own else "",
        }

    def _access(self, name: str) -> dict[str, Any]:
        """Return what the page shows of access: to those who manage a shared service."""
        services, caller = self.state.services, self.caller
        found: dict[str, Any] = {"shared": services.shared, "caller": caller, "access": None}
        found |= to_builtins(services.named(name, caller))
        found["public_link"] = f"{self.address}public/{quoted(name)}"
        if not services.shared or not self.can_manage(name):
            return found
        access, owner = found["shared"] or PRIVATE.to_dict(), found["owner"]
        path = "public" if access["public"] else "apps"
        return found | {
            "shared": True,
            "access": access,
            "maintainers": access.get("maintainers") or {"users": [], "groups": []},
            "may_own": services.allows(caller, name, Action.OWN),
            "choice": _choice(access),
            "who": describe_access(name, access, "you" if caller and caller.owns(owner) else owner),
            "link": f"{self.address}{path}/{quoted(name)}",
        }


def _choice(access: dict[str, Any]) -> str:
    if access["public"] or access["everyone"]:
        return "public" if access["public"] else "everyone"
    return "some" if access["users"] or access["groups"] else "nobody"


LISTING = (
    query_parameter("q", "Words that must all match names, texts, tags or authors.", TEXT),
    query_parameter("tag", "A required tag; may be repeated.", list_of(TEXT)),
    query_parameter("author", "Its author, exactly.", TEXT),
    query_parameter("owner", "Its owner, exactly.", TEXT),
    query_parameter("whose", "Yours, or those of others.", {**TEXT, "enum": ["mine", "others"]}),
    query_parameter("input", "A kind of value that it takes: `image`, `time series`, ...", TEXT),
    query_parameter("license", "Its license, such as `CC-BY-4.0`, in any case.", TEXT),
    query_parameter("task", "A task in its metadata, such as `Computer Vision`.", TEXT),
    query_parameter("library", "A library in its metadata, such as `PyTorch`.", TEXT),
    query_parameter("sort", "Order.", {**TEXT, "enum": ["name", "called", "newest"]}),
    query_parameter(
        "start", "How many to leave out before the first.", COUNT | {"maximum": MAX_START}
    ),
    query_parameter(
        "limit",
        "How many at most; default: all.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    ),
)
"""The parameters of a list of services."""

OPERATIONS = {
    "GET /services/{name}/page": Operation(
        "getServicePage", "Open a service's page", ok("A page for people.", HTML), tag="Documents"
    ),
    "GET /": Operation(
        "getCatalog",
        "Open the catalog",
        ok("A page for people.", HTML),
        tag="Documents",
        query=LISTING[:-1],
    ),
}
