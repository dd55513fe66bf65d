"""The pages: catalogue, one service, the API. They show what the REST routes say, and no more."""

import hashlib
import mimetypes
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from tornado import web
from tornado.httputil import url_concat

from easymlnb.contract.errors import EasyMLNBError, NotLoggedIn, RouteNotFound
from easymlnb_server import words
from easymlnb_server.handlers.base import EasyHandler

HERE = Path(__file__).parent.parent
STATIC = HERE / "static"
SHOWN_CALLS = 50
"""Entries of the log on a service's page."""
STATES = {"ready": "good", "live": "live", "starting": "warn", "busy": "warn", "failed": "bad"}
"""The colour of a state's dot; the word stands beside it."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)


@cache
def _jinja() -> Environment:
    # Everything from authors is text; only _markdown marks its own output as safe.
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["moment"] = lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat()
    found.filters["duration"] = _duration
    return found


@cache
def _assets() -> dict[str, tuple[bytes, str]]:
    """Return name -> (content, a tag that changes with it) of all our assets."""
    files = [path for path in STATIC.iterdir() if path.is_file()]
    read = {path.name: path.read_bytes() for path in files}
    return {name: (data, hashlib.sha256(data).hexdigest()[:12]) for name, data in read.items()}


def _duration(seconds: float | None) -> str | None:
    """Return a time to read: three digits that mean something, in ms or s."""
    if seconds is None:
        return None
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 99.5 else f"{seconds:,.0f} s"


def _markdown(text: str) -> Markup:
    """Return an author's Markdown as HTML: no raw HTML, no links that run scripts, no pictures."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return Markup(reader.render(text))


class PageHandler(EasyHandler):
    """Base of what people look at: no login leads to the login page, errors are pages too."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Referrer-Policy", "no-referrer")

    @property
    def content_security_policy(self) -> str:
        return POLICY

    def on_anonymous(self) -> None:
        if self.request.method not in ("GET", "HEAD"):
            raise NotLoggedIn
        self.redirect(url_concat(self.get_login_url(), {"next": self.request.uri or "/"}))

    @property
    def root(self) -> str:
        """The path of all our routes, as a browser sees it."""
        return f"{self.base_url}easymlnb/"

    def page(self, template: str, **values: Any) -> None:
        """Answer with a page."""
        shared = {
            "root": self.root,
            "asset": lambda name: f"{self.root}static/{name}?v={_assets()[name][1]}",
            # Making the token also sets the cookie that it is compared with.
            "xsrf": self.xsrf_token.decode(),
            "states": STATES,
        }
        self.finish(_jinja().get_template(template).render(shared | values))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error: EasyMLNBError = self.public(kwargs.get("exc_info", (None, None, None))[1])
        self.set_status(error.status)
        self.set_header("X-Request-Id", self.request_id)  # tornado has cleared all headers
        self.page("error.html", error=error, request_id=self.request_id)

    def last_call(self, name: str) -> str:
        """Return the time of a service's last call; empty when there was none."""
        entries = self.state.calls.of(name)
        return entries[-1].time if entries else ""


class CatalogueHandler(PageHandler):
    """``GET /``: a card for each service."""

    @web.authenticated
    def get(self) -> None:
        services = self.state.services
        cards = [self._card(name) for name in services.names()]
        cards.sort(key=lambda card: (card["title"].casefold(), card["name"]))
        tags = sorted({tag for card in cards for tag in card["tags"]})
        self.page("catalogue.html", cards=cards, tags=tags)

    def _card(self, name: str) -> dict[str, Any]:
        spec = self.state.services.target(name).spec
        said = {"about": words.summary(spec.description), "shape": words.shape(spec)}
        return self.state.services.summary(name) | said | {"called": self.last_call(name)}


class ServicePageHandler(PageHandler):
    """``GET services/{name}/page``: all about one service."""

    @web.authenticated
    async def get(self, name: str) -> None:
        services = self.state.services
        target = services.target(name)
        spec = target.spec
        state = services.state(name)
        versions = []
        if state["version"] is not None:
            versions = await self.state.publications.versions(name)
        base = f"{self.request.protocol}://{self.request.host}{self.root}"
        self.page(
            "service.html",
            spec=spec,
            state=state,
            description=_markdown(spec.description),
            fields=words.fields(spec),
            result=words.kind(spec.output, spec.output),
            snippets=words.snippets(spec, base),
            stats=self.state.metrics.stats(name, target.version),
            versions=versions,
            entries=self.state.calls.of(name)[:-SHOWN_CALLS:-1],
            called=self.last_call(name),
        )


class DocsHandler(PageHandler):
    """``GET docs``: the API to read and to try, drawn from ``openapi.json``."""

    @web.authenticated
    def get(self) -> None:
        self.page("docs.html")


class AssetHandler(EasyHandler):
    """``GET static/{file}``: our stylesheet and scripts; the names are a fixed set."""

    kinds: ClassVar[dict[str, str]] = {".js": "text/javascript", ".css": "text/css"}

    @web.authenticated
    def get(self, name: str) -> None:
        if name not in _assets():
            raise RouteNotFound
        data, tag = _assets()[name]
        kind = self.kinds.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
        self.set_header("Content-Type", kind or "application/octet-stream")
        fresh = self.get_query_argument("v", "") == tag
        self.set_header("Cache-Control", "private, max-age=31536000" if fresh else "no-cache")
        self.finish(data)
