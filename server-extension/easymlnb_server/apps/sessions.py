"""Page sessions: who has one, who waits for one, and when one ends."""

import asyncio
import logging
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from easymlnb.contract.page_protocol import (
    ClosePage,
    FromSession,
    OpenPage,
    PageFailed,
    Spent,
    ToKernel,
    ToPage,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.apps.form_kernel import FormKernel
from easymlnb_server.apps.kernel_pool import KernelPool
from easymlnb_server.apps.page_tokens import PageTokens
from easymlnb_server.apps.waiting_list import WaitingList
from easymlnb_server.identity.revocation import Opened

TICK = 2.0
"""Seconds between two looks for places that are over."""

log = logging.getLogger("easymlnb.apps")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many pages may be open: in all, of visitors without login, of one app, of one visitor.

    A page that was sent must come for its place within ``unopened`` seconds; one that lost its
    connection finds it kept for ``grace`` seconds; one that is open and says no word for ``idle``
    seconds is put to rest.
    """

    pages: int = 500
    public: int = 250
    app: int = 200
    visitor: int = 10
    unopened: float = 60.0
    grace: float = 120.0
    idle: float = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks: the id in the cookie, and the name of those who are logged in."""

    id: str
    user: str = ""

    @property
    def holder(self) -> str:
        """Who the passes of their pages belong to."""
        return self.user or self.id

    @property
    def who(self) -> str:
        """Whose pages are counted together: a name counts in all browsers, and without cookies."""
        return f"user {self.user}" if self.user else self.id


@dataclass(slots=True, eq=False)
class PageSession:
    """One page of one visitor. ``id`` is what the page takes for the id of its kernel."""

    id: str
    service: str
    visitor: Visitor
    public: bool
    root: str
    secret: str
    kernel: FormKernel
    seen: float = field(default_factory=time.monotonic)
    opened: bool = False
    hear: Callable[[ToPage], None] | None = None
    """Takes messages for the page, while it is connected."""
    drop: Callable[[], None] | None = None
    """Cuts the page's connection."""
    broken: bool = False

    def say(self, message: ToKernel) -> None:
        """Send its kernel a message."""
        message.session = self.id
        self.kernel.say(message)


class NoCapacity(Exception):
    """There is no place now. ``ahead`` visitors come before this one; ``own`` has too many.

    ``warming``: no limit is reached, a form kernel for the place is only being started.
    """

    def __init__(self, ahead: int = 0, *, own: bool = False, warming: bool = False) -> None:
        super().__init__(ahead)
        self.ahead = ahead
        self.own = own
        self.warming = warming


class PageSessions:
    """All places of this server."""

    def __init__(self, passes: PageTokens, limits: Limits) -> None:
        self._passes = passes
        self._limits = limits
        self._all: dict[str, PageSession] = {}
        self._line = WaitingList()
        self.pool: KernelPool | None = None

    def __len__(self) -> int:
        return len(self._all)

    def opened(self) -> list[Opened]:
        """Return all pages, for ``AccessRevoker``."""
        return [
            Opened(
                None if page.public else page.visitor.user,
                page.service,
                partial(self.leave, page),
            )
            for page in [*self._all.values()]
        ]

    def get(self, name: str, service: str, visitor: Visitor | None) -> PageSession | None:
        """Return a place of this visitor; that of another does not exist for them."""
        found = self._all.get(name)
        if found is None or found.service != service or found.visitor != visitor:
            return None
        return found

    def holders(self) -> set[tuple[str, str]]:
        """Return who has a page of which service, as passes call them."""
        return {(one.visitor.holder, one.service) for one in self._all.values()}

    async def open(
        self,
        spec: ServiceSpec,
        visitor: Visitor,
        *,
        public: bool,
        url: str,
        base: str,
        patience: float = 1.0,
    ) -> PageSession:
        """Make a place for a page. Raises ``NoCapacity`` when there is none now."""
        self._admit(spec.name, visitor, public)
        if self.pool is None:
            raise NoCapacity(warming=True)
        name = str(uuid.uuid4())
        kernel = await self.pool.take(name, "public" if public else "user", patience)
        if kernel is None:
            self._line.wait((visitor.who, spec.name))
            raise NoCapacity(self._line.ahead((visitor.who, spec.name)), warming=True)
        self._line.leave((visitor.who, spec.name))
        secret = self._passes.give(spec.name, visitor.holder, public=public)
        place = PageSession(name, spec.name, visitor, public, secrets.token_hex(16), secret, kernel)
        self._all[name] = place
        place.say(
            OpenPage(
                spec=spec.to_dict(),
                root=place.root,
                url=url,
                base=base,
                secret=secret,
                public=public,
            )
        )
        return place

    def _admit(self, service: str, visitor: Visitor, public: bool) -> None:
        own = [one for one in self._all.values() if one.visitor.who == visitor.who]
        if len(own) >= self._limits.visitor:
            raise NoCapacity(own=True)
        free = self._limits.pages - len(self._all)
        if public:
            there = sum(one.public for one in self._all.values())
            free = min(free, self._limits.public - there)
        of_app = sum(one.service == service for one in self._all.values())
        free = min(free, self._limits.app - of_app)
        ticket = (visitor.who, service)
        self._line.wait(ticket)
        ahead = self._line.ahead(ticket)
        if free <= ahead:
            raise NoCapacity(ahead)
        self._line.leave(ticket)

    def told(self, message: FromSession) -> None:
        """Take what a kernel says."""
        place = self._all.get(message.session)
        if place is None:
            return
        if isinstance(message, PageFailed):
            place.broken = True
            log.error("Could not build the page of %s: %s", place.service, message.reason)
        elif isinstance(message, Spent):
            log.warning("Closed a page of %s: %s.", place.service, message.reason)
            self.leave(place)
        elif place.hear is not None:
            place.hear(message)

    def connect(
        self, place: PageSession, hear: Callable[[ToPage], None], drop: Callable[[], None]
    ) -> None:
        """A page has come, or come back; an older connection of it is cut."""
        if place.drop is not None:
            place.drop()
        place.hear, place.drop, place.opened = hear, drop, True
        place.seen = time.monotonic()

    def disconnect(self, place: PageSession, hear: Callable[[ToPage], None]) -> None:
        """A connection is gone; the place is kept for a while."""
        if place.hear == hear:
            place.hear = place.drop = None
            place.seen = time.monotonic()

    def leave(self, place: PageSession) -> None:
        """End a place: its pass opens nothing any more, its widgets are freed."""
        if self._all.pop(place.id, None) is None:
            return
        self._passes.revoke(place.secret)
        place.say(ClosePage())
        if self.pool is not None:
            self.pool.give_back(place.kernel, place.id)
        drop, place.hear, place.drop = place.drop, None, None
        if drop is not None:
            drop()

    def lost(self, kernel: FormKernel) -> None:
        """A kernel has ended, and with it the places that it carried."""
        for name in list(kernel.places):
            place = self._all.get(name)
            if place is not None:
                self.leave(place)

    def leave_all(self, wanted: Callable[[PageSession], bool]) -> None:
        """End all places for which ``wanted`` holds."""
        for place in [one for one in self._all.values() if wanted(one)]:
            self.leave(place)

    async def keep(self) -> None:
        """End what is over, until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self.leave_all(self._over)

    def _over(self, place: PageSession) -> bool:
        silent = time.monotonic() - place.seen
        if not place.opened:
            return silent > self._limits.unopened
        return silent > (self._limits.grace if place.hear is None else self._limits.idle)
