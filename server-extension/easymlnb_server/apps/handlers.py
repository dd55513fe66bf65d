"""App pages: ``apps/{service}`` requires a login, ``public/{service}`` does not."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import ClassVar

from easymlnb.contract.errors import BadRequest, Draining, RouteNotFound
from easymlnb.contract.names import quoted
from easymlnb.contract.snippets import snippets
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.apps.channel_handlers import VisitorHandler
from easymlnb_server.apps.plot_detection import may_plot
from easymlnb_server.apps.sessions import NoCapacity
from easymlnb_server.apps.voila import plot_scripts
from easymlnb_server.apps.voila.encodings import FAST as ENCODERS
from easymlnb_server.apps.voila.encodings import best_encoding
from easymlnb_server.apps.voila.widget_packages import FOLDER, modules_of
from easymlnb_server.http.base import EasyHandler, custom_access_check
from easymlnb_server.http.pages import PageHandler, markdown
from easymlnb_server.identity.access import Action
from easymlnb_server.openapi.document import HTML, Operation, ok
from easymlnb_server.services.summaries import example, summary

RELOAD_AFTER = 2
"""Seconds after which a waiting page reloads."""

BUILD_TIMEOUT = 3.0
"""Seconds to wait for the form; after that the page is sent without it and fetches it itself."""

LONGEST_SUMMARY = 300
"""Characters of the description that search engines and chats show."""

HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+\Z")

DESTINATIONS = ("document", "iframe", "frame", "empty")
"""Values of ``Sec-Fetch-Dest`` that open a session: the page is shown, not used as an image."""


class AppHandler(VisitorHandler, PageHandler):
    """``GET apps/{service}`` and ``GET public/{service}``."""

    actions: ClassVar[dict[str, str]] = {"GET": "execute", "HEAD": "execute"}

    @property
    def content_security_policy(self) -> str:
        # Voila's front end sets style attributes, and anywidget turns code from the kernel into
        # modules. Inline scripts remain forbidden.
        host = self.request.host if HOST.match(self.request.host) else ""
        sockets = f" ws://{host} wss://{host}" if host else ""
        return (
            "default-src 'none'; script-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
            f"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'{sockets}; "
            "media-src 'self' data: blob:; worker-src blob:; frame-src 'self' data: blob:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
        )

    @custom_access_check
    async def get(self, name: str) -> None:
        if self.request.headers.get("Sec-Fetch-Dest", "document") not in DESTINATIONS:
            raise BadRequest("App pages can only be opened in a browser.")
        spec = self._spec(name)
        state = self.state.services.state(name, self.caller)
        if not self.state.apps.enabled:
            raise RouteNotFound
        await self.state.apps.wait_warm()
        if state.state == "starting":
            self._wait("starting", spec, reason=state.reason or "")
            return
        if state.state == "failed":
            self.set_status(503)
            self.set_header("Retry-After", str(ceil(state.retry_in or RELOAD_AFTER)))
            self._waiting_page("failed", spec)
            return
        await self._open(spec)

    @custom_access_check
    async def head(self, name: str) -> None:
        """Check whether the page can be opened, without a session."""
        if self.state.services.draining:
            raise Draining
        self._spec(name)
        if not self.state.apps.enabled:
            raise RouteNotFound
        self.finish()

    def _spec(self, name: str) -> ServiceSpec:
        if not self._public:
            return self.target(name, Action.CALL).spec
        if self.state.services.public(name):
            return self.state.services.find(name).spec
        raise RouteNotFound  # the same for a private service as for none

    async def _open(self, spec: ServiceSpec) -> None:
        apps = self.state.apps
        try:
            session = await apps.sessions.open(
                spec,
                self.visitor() or self.new_visitor(self.root),
                public=self._public,
                url=apps.url,
                base=self.root,
            )
        except NoCapacity as full:
            warming = full.warming and not full.ahead
            state = "own" if full.own else "warming" if warming else "full"
            self._wait(state, spec, full.ahead)
            return
        built = await session.take_built(BUILD_TIMEOUT)
        names = plot_scripts.NAMES if may_plot(spec) else ()
        optional = {name: f"{name}.js" for name in names}
        await self._finish_packed(
            apps.pages.render(
                built,
                assets=f"{self.root}app-assets/",
                session=session.id,
                root_widget=session.root,
                optional={name: file for name, file in optional.items() if apps.assets.has(file)},
                packages=apps.packages.addresses(modules_of(spec.app), f"{self.root}app-assets/"),
                **self.shared_values(),
                spec=spec,
                summary=summary(spec.description)[:LONGEST_SUMMARY],
                description=markdown(spec.description),
                byline=_byline(spec),
                citation=getattr(spec.metadata, "citation", "") or "",
                here=f"{self.root}{'public' if self._public else 'apps'}/{quoted(spec.name)}/",
                snippets={} if self._public else snippets(spec, example(spec)),
                public=self._public,
            )
        )

    async def _finish_packed(self, page: str) -> None:
        """Send a page, compressed: with its style sheet and its state it is large.

        It has secrets of the visitor, but nothing that others can choose.
        """
        data = page.encode()
        accepted = self.request.headers.get("Accept-Encoding", "")
        if encoding := best_encoding(accepted, ENCODERS):
            # In a thread: it takes milliseconds, and many visitors may come at once.
            data = await asyncio.to_thread(ENCODERS[encoding], data)
            self.set_header("Content-Encoding", encoding)
        self.set_header("Vary", "Accept-Encoding")
        self.finish(data)

    def _wait(self, state: str, spec: ServiceSpec, ahead: int = 0, reason: str = "") -> None:
        """Send a page that reloads itself, also without scripts."""
        self.set_header("Retry-After", str(RELOAD_AFTER))
        self._waiting_page(state, spec, ahead=ahead, again=RELOAD_AFTER, reason=reason)

    def _waiting_page(
        self, state: str, spec: ServiceSpec, *, ahead: int = 0, again: int = 0, reason: str = ""
    ) -> None:
        apps = self.state.apps
        self.page(
            "app_wait.html",
            spec=spec,
            description=markdown(spec.description),
            byline=_byline(spec),
            style=apps.pages.style,
            early=apps.pages.script("early.js", f"{self.root}app-assets/"),
            state=state,
            ahead=ahead,
            again=again,
            reason=reason,
        )


def _byline(spec: ServiceSpec) -> str:
    return " \u00b7 ".join(filter(None, (spec.author, spec.license)))


class AppAssetHandler(EasyHandler):
    """``GET app-assets/{tag}/{file}``: the front end of app pages."""

    def on_anonymous(self) -> None:
        """Accept the request: visitors of public apps need the files, which are not secret."""

    @custom_access_check
    async def get(self, tag: str, name: str) -> None:
        apps = self.state.apps
        if not apps.enabled:
            raise RouteNotFound
        await apps.wait_warm()
        assets = apps.assets
        if name.startswith(f"{FOLDER}/"):
            asset = await asyncio.to_thread(apps.packages.file, name.removeprefix(f"{FOLDER}/"))
        else:
            asset = assets.files.get(name)
        if asset is None:
            raise RouteNotFound
        encoding = asset.encoding(self.request.headers.get("Accept-Encoding", ""))
        self.set_header("Content-Type", asset.type)
        self.set_header("Vary", "Accept-Encoding")
        if encoding:
            self.set_header("Content-Encoding", encoding)
        if tag == asset.tag:
            self.set_header("Cache-Control", "public, max-age=31536000, immutable")
            self.set_header("Expires", datetime.now(UTC) + timedelta(days=365))
        else:
            self.set_header("Cache-Control", "no-cache")
        self.finish(asset.read(encoding))


OPERATIONS = {
    "GET /apps/{name}": Operation(
        "getApp",
        "Open the app of a service",
        ok("The app, or a waiting page.", HTML),
        (503,),
        tag="Documents",
    ),
    "GET /public/{name}": Operation(
        "getPublicApp",
        "Open the app of a public service",
        ok("The app, or a waiting page.", HTML),
        (503,),
        tag="Documents",
        open=True,
    ),
}
