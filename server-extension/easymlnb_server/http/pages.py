"""What all pages share, the API page, and static files."""

import hashlib
import mimetypes
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from tornado import web
from tornado.httputil import url_concat

from easymlnb.contract import units
from easymlnb.contract.errors import EasyMLNBError, NotLoggedIn, RouteNotFound
from easymlnb_server.http import charts
from easymlnb_server.http.base import EasyHandler, decides_itself, retry_after
from easymlnb_server.openapi.document import HTML, Operation, ok

HERE = Path(__file__).parent.parent
STATIC = HERE / "static"
STATES = {
    "ready": "good",
    "live": "live",
    "starting": "warn",
    "busy": "warn",
    "failed": "bad",
    "asleep": "",
}
"""The color of a state's dot; the word stands beside it."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'"
)


@cache
def _jinja() -> Environment:
    # Everything from authors is text; only markdown marks its own output as safe.
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["moment"] = lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat()
    found.filters["duration"] = lambda s: None if s is None else charts.duration(s)
    found.filters["hue"] = lambda name: crc32(name.encode()) % 360
    found.filters["bytes"] = units.format_size
    found.tests["web"] = lambda text: text.startswith(("https://", "http://"))
    return found


@cache
def _assets() -> dict[str, tuple[bytes, str]]:
    """Return name -> (content, a tag that changes with it) of all our assets."""
    files = [path for path in STATIC.iterdir() if path.is_file()]
    read = {path.name: path.read_bytes() for path in files}
    return {name: (data, hashlib.sha256(data).hexdigest()[:12]) for name, data in read.items()}


def markdown(text: str) -> Markup:
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

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        await super().prepare(_redirect_to_login=_redirect_to_login)
        query = self.request.query_arguments
        browser = "text/html" in self.request.headers.get("Accept", "")
        if browser and "token" in query and self.token_authenticated and not self._finished:
            # The login cookie is set by now. A token in the address bar ends up in histories and
            # screenshots, and to Jupyter each request with one is a new user.
            kept = [name for name in query if name != "token"]
            rest = [(name, value) for name in kept for value in self.get_query_arguments(name)]
            self.redirect(url_concat(self.request.path, rest))

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
        if (seconds := retry_after(error)) is not None:
            self.set_header("Retry-After", seconds)
        # Where only one person is let in there is nobody to tell apart.
        who = self.caller.name if self.caller and self.state.services.shared else ""
        self.page("error.html", error=error, request_id=self.request_id, who=who)


class DocsHandler(PageHandler):
    """``GET docs``: the API to read and to try, drawn from ``openapi.json``."""

    @web.authenticated
    def get(self) -> None:
        self.page("docs.html")


class AssetHandler(EasyHandler):
    """``GET static/{file}``: our stylesheet and scripts; the names are a fixed set."""

    kinds: ClassVar[dict[str, str]] = {".js": "text/javascript", ".css": "text/css"}

    def on_anonymous(self) -> None:
        """Visitors of public apps need them, and they are the same everywhere."""

    @decides_itself
    def get(self, name: str) -> None:
        if name not in _assets():
            raise RouteNotFound
        data, tag = _assets()[name]
        kind = self.kinds.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
        self.set_header("Content-Type", kind or "application/octet-stream")
        fresh = self.get_query_argument("v", "") == tag
        self.set_header("Cache-Control", "private, max-age=31536000" if fresh else "no-cache")
        self.finish(data)


OPERATIONS = {
    "GET /docs": Operation(
        "getDocs", "Read and try the API", ok("A page for people.", HTML), tag="Documents"
    ),
}
