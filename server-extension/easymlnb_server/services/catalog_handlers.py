"""The catalog page, a service's page, and a service's metadata."""

import base64
from dataclasses import replace
from datetime import UTC, datetime

from tornado import web
from tornado.escape import url_escape

from easymlnb.contract.errors import BadRequest, RouteNotFound
from easymlnb.contract.names import quoted
from easymlnb.contract.snippets import snippets
from easymlnb_server.http import charts
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.pages import PageHandler, markdown
from easymlnb_server.identity.access import Action
from easymlnb_server.openapi.document import (
    BYTES,
    COUNT,
    HTML,
    TEXT,
    Operation,
    list_of,
    ok,
    query_parameter,
)
from easymlnb_server.resources import MetadataForms
from easymlnb_server.services import catalog, metadata_formats, page_context, summaries
from easymlnb_server.services.catalog import Query

PAGE = 48
"""Cards on one page of the catalog."""
SHOWN_CALLS = 50
"""Entries of the log on a service's page."""
SHOWN_TAGS = 16
"""Tags to choose from; the search finds the others."""
WHOSE = ("", "mine", "others")
PICTURES = ("image/webp", "image/png", "image/jpeg")
"""Media types of a service's picture."""
LONGEST = 1000
"""Most entries that one answer lists when a limit is asked for."""


def query(handler: EasyHandler) -> Query:
    """Return what a request asks the catalog for; raises ``BadRequest``."""
    get = handler.get_query_argument
    sort = get("sort", "") or "name"
    if sort not in catalog.SORTS:
        raise BadRequest(f"sort must be one of {', '.join(catalog.SORTS)}.")
    whose = get("whose", "")
    if whose not in WHOSE:
        raise BadRequest(f"whose must be one of {', '.join(filter(None, WHOSE))}.")
    return Query(
        text=get("q", ""),
        tags=tuple(tag for tag in handler.get_query_arguments("tag") if tag),
        author=get("author", ""),
        owner=get("owner", ""),
        whose=whose,
        me=handler.caller.name if handler.caller is not None else "",
        input=get("input", ""),
        sort=sort,
        start=_number(get("start", "0"), 0, 10**9, "start"),
        limit=_number(limit, 1, LONGEST, "limit") if (limit := get("limit", "")) else None,
    )


def onwards(asked: Query, start: int) -> str:
    """Return the query string of the page that begins at ``start``."""
    pairs = [("q", asked.text), *(("tag", tag) for tag in asked.tags)]
    pairs += [("author", asked.author), ("owner", asked.owner), ("whose", asked.whose)]
    pairs += [("input", asked.input)]
    pairs += [("sort", asked.sort if asked.sort != "name" else "")]
    pairs += [("limit", str(asked.limit) if asked.limit else ""), ("start", str(start or ""))]
    return "&".join(f"{name}={url_escape(value)}" for name, value in pairs if value)


def _number(text: str, least: int, most: int, name: str) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}.")
    return int(text)


class CatalogHandler(PageHandler):
    """``GET /``: a card for each service."""

    @web.authenticated
    async def get(self) -> None:
        asked = replace(query(self), limit=PAGE)
        everything = catalog.entries(self.state.services, self.state.call_log, self.caller)
        found = catalog.choose(everything, asked)
        offered = catalog.offered(everything)
        more = None if found.next is None else onwards(replace(asked, limit=None), found.next)
        self.page(
            "catalog.html",
            asked=asked,
            found=found,
            everything=everything,
            offered=offered,
            tags=list(dict.fromkeys([*offered["tags"][:SHOWN_TAGS], *asked.tags])),
            more=more,
            first=onwards(replace(asked, limit=None), 0),
            pattern=charts.pattern,
            **await page_context.of_catalog(self, asked),
        )


class ServicePageHandler(PageHandler):
    """``GET services/{name}/page``: all about one service."""

    @web.authenticated
    async def get(self, name: str) -> None:
        services = self.state.services
        target = self.target(name, Action.SEE)
        spec, own = target.spec, self.manages(name)
        state = services.state(name, self.caller)
        versions = []
        if state.version is not None:
            versions = await self.state.publisher.versions(name)
        entries = self.state.call_log.of(name) if own else []
        bars = charts.bars(entries, datetime.now(UTC))
        about = subject(self, name)
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
            own=own,
            stats=self.state.metrics.stats(name, target.version) if own else None,
            versions=versions,
            entries=entries[:-SHOWN_CALLS:-1],
            bars=[bar for bar in bars if bar.calls],
            plots=(charts.calls(bars), charts.times(entries)) if entries else (),
            called=self.state.call_log.last(name) if own else "",
            ld=metadata_formats.embedded(metadata_formats.schema_org(about)),
            **page_context.of_service(self, name),
        )


class MetadataHandler(EasyHandler):
    """``GET services/{name}/metadata``: in the forms of other catalogs, too."""

    @web.authenticated
    def get(self, name: str) -> None:
        self.write_json(MetadataForms(**metadata_formats.document(subject(self, name))))


class ThumbnailHandler(EasyHandler):
    """``GET services/{name}/thumbnail``: the picture of a service's card."""

    @web.authenticated
    def get(self, name: str) -> None:
        about = self.target(name, Action.SEE).spec.metadata
        kind, found, data = (about.thumbnail if about else "").partition(";base64,")
        # A live kernel may send what it likes; only pictures without scripts go on to a browser.
        if not found or kind.removeprefix("data:") not in PICTURES:
            raise RouteNotFound("This service has no thumbnail.")
        self.set_header("Content-Type", kind.removeprefix("data:"))
        fresh = self.get_query_argument("v", "")
        self.set_header("Cache-Control", "private, max-age=31536000" if fresh else "no-cache")
        self.finish(base64.b64decode(data))


def subject(handler: EasyHandler, name: str) -> metadata_formats.DescribedService:
    """Return what is to be described under a name; raises ``ServiceNotFound``."""
    services = handler.state.services
    target = handler.target(name, Action.SEE)
    created = services.created(name)
    line = catalog.entry(services, handler.state.call_log, name, handler.caller)
    return metadata_formats.DescribedService(
        target.spec,
        target.version,
        datetime.fromtimestamp(created, UTC).date().isoformat() if created else "",
        f"{handler.address}services/{quoted(name)}/page",
        f"{handler.address}{line.thumbnail}" if line.thumbnail else "",
    )


LISTING = (
    query_parameter("q", "Words that must all be there: in names, texts, tags, authors.", TEXT),
    query_parameter("tag", "A tag that must be there; may be repeated.", list_of(TEXT)),
    query_parameter("author", "Its author, exactly.", TEXT),
    query_parameter("owner", "Its owner, exactly.", TEXT),
    query_parameter("whose", "Yours, or those of others.", {**TEXT, "enum": ["mine", "others"]}),
    query_parameter("input", "A kind of value that it takes: `image`, `time series`, ...", TEXT),
    query_parameter("sort", "Order.", {**TEXT, "enum": ["name", "called", "newest"]}),
    query_parameter("start", "How many to leave out before the first.", COUNT),
    query_parameter("limit", "How many at most; default: all.", {"type": "integer", "minimum": 1}),
)
"""The parameters of a list of services."""

OPERATIONS = {
    "GET /services/{name}/page": Operation(
        "getServicePage", "Open a service's page", ok("A page for people.", HTML), tag="Documents"
    ),
    "GET /services/{name}/metadata": Operation(
        "getMetadata",
        "Read a service's metadata",
        ok("In the formats of several catalogs.", MetadataForms),
    ),
    "GET /services/{name}/thumbnail": Operation(
        "getThumbnail",
        "Fetch a service's picture",
        ok("A small picture.", dict.fromkeys(PICTURES, BYTES)),
    ),
    "GET /": Operation(
        "getCatalog",
        "Open the catalog",
        ok("A page for people.", HTML),
        tag="Documents",
        query=LISTING[:-1],
    ),
}
