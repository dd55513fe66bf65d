"""The base of all pages, the API page, and static files."""

import hashlib
import mimetypes
from base64 import b64encode
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
from easymlnb.contract.errors import EasyMLNBError, MethodNotAllowed, NotLoggedIn, RouteNotFound
from easymlnb.contract.formulas import with_formulas
from easymlnb_server.http import charts
from easymlnb_server.http.base import EasyHandler, custom_access_check, retry_after
from easymlnb_server.openapi.document import HTML, Operation, ok

PACKAGE = Path(__file__).parent.parent
STATIC = PACKAGE / "static"
STATES = {
    "ready": "good",
    "live": "live",
    "starting": "warn",
    "busy": "warn",
    "failed": "bad",
    "asleep": "",
}
"""The color of a state's dot, which is next to the name of the state."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'"
)


@cache
def _jinja() -> Environment:
    # Text of authors is escaped; only `markdown` marks its output as safe.
    environment = Environment(
        loader=FileSystemLoader(PACKAGE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat()
    environment.filters["duration"] = lambda s: None if s is None else charts.duration(s)
    environment.filters["hue"] = lambda name: crc32(name.encode()) % 360
    environment.filters["bytes"] = units.format_size
    environment.tests["web"] = lambda text: text.startswith(("https://", "http://"))
    return environment


@cache
def _assets() -> dict[str, tuple[bytes, str]]:
    """Return name -> (content, hash) of all our assets."""
    files = [path for path in STATIC.iterdir() if path.is_file()]
    read = {path.name: path.read_bytes() for path in files}
    return {name: (data, hashlib.sha256(data).hexdigest()[:12]) for name, data in read.items()}


@cache
def _mark() -> str:
    """Return our mark as a URI, which needs no request."""
    return f"data:image/svg+xml;base64,{b64encode(_assets()['mark.svg'][0]).decode()}"


def prepare() -> None:
    """Read the assets and compile the template of the first page."""
    _mark()
    _jinja().get_template("catalog.html")


def markdown(text: str) -> Markup:
    """Return an author's Markdown as HTML, without raw HTML, script links and images."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    with_formulas(parser)
    return Markup(parser.render(text))


class PageHandler(EasyHandler):
    """Base of all pages: without a login it redirects to the login page; errors are pages."""

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
            # screenshots, and Jupyter treats each request with a token as a new user.
            names = [name for name in query if name != "token"]
            rest = [(name, value) for name in names for value in self.get_query_arguments(name)]
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
        """Render and send a page."""
        shared = {
            **self.shared_values(),
            "asset": lambda name: f"{self.root}static/{name}?v={_assets()[name][1]}",
            "states": STATES,
        }
        self.finish(_jinja().get_template(template).render(shared | values))

    def shared_values(self) -> dict[str, Any]:
        """Return what the templates of all pages need."""
        return {
            "root": self.root,
            "mark": _mark(),
            # Reading the token also sets the cookie that it is compared with.
            "xsrf": self.xsrf_token.decode(),
        }

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error: EasyMLNBError = self.public_error(kwargs.get("exc_info", (None, None, None))[1])
        self.set_status(error.status)
        self.set_header("X-Request-Id", self.request_id)  # tornado has cleared all headers
        if (seconds := retry_after(error)) is not None:
            self.set_header("Retry-After", seconds)
        if isinstance(error, MethodNotAllowed):
            self.set_header("Allow", self.allowed_methods)
        # A personal server has a single user, whose name says nothing.
        who = self.caller.name if self.caller and self.state.services.shared else ""
        message = _for_people(error.message)
        values = {"error": error, "message": message, "request_id": self.request_id, "who": who}
        self.page("error.html", **values)


def _for_people(message: str) -> str:
    """Return a message without its sentence about a route of the REST API."""
    return message.partition(" 'GET ")[0].replace("no route", "no page")


class DocsHandler(PageHandler):
    """``GET docs``: the interactive API documentation, from ``openapi.json``."""

    @web.authenticated
    def get(self) -> None:
        self.page("docs.html")


class AssetHandler(EasyHandler):
    """``GET static/{file}``: our stylesheets and scripts."""

    kinds: ClassVar[dict[str, str]] = {".js": "text/javascript", ".css": "text/css"}

    def on_anonymous(self) -> None:
        """Accept the request: visitors of public apps need the assets, which are not secret."""

    @custom_access_check
    def get(self, name: str) -> None:
        if name not in _assets():
            raise RouteNotFound
        data, tag = _assets()[name]
        kind = self.kinds.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
        self.set_header("Content-Type", kind or "application/octet-stream")
        is_current = self.get_query_argument("v", "") == tag
        self.set_header("Cache-Control", "private, max-age=31536000" if is_current else "no-cache")
        self.finish(data)


OPERATIONS = {
    "GET /docs": Operation(
        "getDocs", "Read and try the API", ok("A page for people.", HTML), tag="Documents"
    ),
}
