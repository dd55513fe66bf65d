"""Page sessions: limits, the waiting list, connections, and their end."""

import asyncio
import logging
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from easymlnb.contract.page_protocol import (
    ClosePage,
    FromSession,
    OpenPage,
    PageBuilt,
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

log = logging.getLogger("easymlnb.apps")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Maximum numbers of open pages, and timeouts of sessions.

    pages: in total.
    public: of visitors without a login.
    app: of one app.
    visitor: of one visitor.
    open_timeout: seconds until a page must connect for the first time.
    reconnect_timeout: seconds until a page that lost its connection must be back.
    idle_timeout: seconds without a message after which an open page is paused.
    """

    pages: int = 500
    public: int = 250
    app: int = 200
    visitor: int = 10
    open_timeout: float = 60.0
    reconnect_timeout: float = 120.0
    idle_timeout: float = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor: the id in the cookie, and the user's name after a login.

    ``address`` is where they are now, which may change.
    """

    id: str
    user: str = ""
    address: str = field(default="", compare=False)

    @property
    def holder(self) -> str:
        """The holder of the page tokens."""
        return self.user or self.id

    @property
    def key(self) -> str:
        """The key to count pages by: a user's pages count together in all browsers."""
        return f"user {self.user}" if self.user else self.id


@dataclass(slots=True, eq=False)
class PageSession:
    """One page of one visitor. The page takes ``id`` for the id of its kernel.

    ``built`` is what the page shows first, once the form kernel has sent it. While the page is
    connected, ``to_page`` sends it a message and ``disconnect`` closes its connection.
    """

    id: str
    service: str
    visitor: Visitor
    public: bool
    root: str
    secret: str
    kernel: FormKernel
    last_seen: float = field(default_factory=time.monotonic)
    opened: bool = False
    to_page: Callable[[ToPage], None] | None = None
    disconnect: Callable[[], None] | None = None
    failed: bool = False
    built: asyncio.Future[PageBuilt | None] | None = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def send(self, message: ToKernel) -> None:
        """Send the form kernel a message."""
        message.session = self.id
        self.kernel.send(message)

    def set_built(self, page: PageBuilt | None) -> None:
        """Provide what the page shows first."""
        if self.built is not None and not self.built.done():
            self.built.set_result(page)

    async def take_built(self, max_wait: float) -> PageBuilt | None:
        """Return what the page shows first, once; None if it does not come in time."""
        waiting = self.built
        if waiting is None:
            return None
        done, _ = await asyncio.wait((waiting,), timeout=max_wait)
        self.built = None  # it is large, and the page has it now
        return waiting.result() if done else None


UNOPENED = 10
"""Sessions of one address that no page has connected to, which do not give way to visitors."""


class NoCapacity(Exception):
    """No session is free now.

    ahead: visitors who come first.
    own: the visitor has too many pages.
    warming: no limit is reached, but a form kernel must start first.
    """

    def __init__(self, ahead: int = 0, *, own: bool = False, warming: bool = False) -> None:
        super().__init__(ahead)
        self.ahead = ahead
        self.own = own
        self.warming = warming


class PageSessions:
    """All sessions of this server."""

    def __init__(self, tokens: PageTokens, limits: SessionLimits) -> None:
        self._tokens = tokens
        self._limits = limits
        self._sessions: dict[str, PageSession] = {}
        self._waiting = WaitingList()
        self.pool: KernelPool | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def all(self) -> list[PageSession]:
        """Return all sessions."""
        return list(self._sessions.values())

    def opened(self) -> list[Opened]:
        """Return all pages, for ``AccessRevoker``."""
        return [
            Opened(
                None if session.public else session.visitor.user,
                session.service,
                partial(self.close, session),
            )
            for session in self.all()
        ]

    def get(self, id: str, service: str, visitor: Visitor | None) -> PageSession | None:
        """Return a session of this visitor, never one of another visitor."""
        session = self._sessions.get(id)
        if session is None or session.service != service or session.visitor != visitor:
            return None
        return session

    def holders(self) -> set[tuple[str, str]]:
        """Return the pairs of token holder and service that have an open page."""
        return {(session.visitor.holder, session.service) for session in self.all()}

    async def open(
        self,
        spec: ServiceSpec,
        visitor: Visitor,
        *,
        public: bool,
        url: str,
        base: str,
        max_wait: float = 1.0,
    ) -> PageSession:
        """Create the session of a page; raises ``NoCapacity`` if none is free in time."""
        self._admit(spec.name, visitor, public)
        if self.pool is None:
            raise NoCapacity(warming=True)
        id, ticket = str(uuid.uuid4()), (visitor.key, spec.name)
        kernel = await self.pool.acquire(id, "public" if public else "user", max_wait)
        if kernel is None:
            self._waiting.join(ticket)
            raise NoCapacity(self._waiting.ahead(ticket), warming=True)
        self._waiting.leave(ticket)
        root = secrets.token_hex(16)
        secret = self._tokens.create(spec.name, visitor.holder, public=public)
        session = PageSession(id, spec.name, visitor, public, root, secret, kernel)
        self._sessions[id] = session
        session.send(
            OpenPage(
                spec=spec.to_dict(), root=root, url=url, base=base, secret=secret, public=public
            )
        )
        return session

    def _admit(self, service: str, visitor: Visitor, public: bool) -> None:
        own = sum(one.visitor.key == visitor.key for one in self.all())
        if own >= self._limits.visitor:
            raise NoCapacity(own=True)
        ticket = (visitor.key, service)
        self._waiting.join(ticket)
        ahead = self._waiting.ahead(ticket)
        if public and self._free(service, public) <= 0:
            self._make_room(service)
        if self._free(service, public) <= ahead:
            raise NoCapacity(ahead)
        self._waiting.leave(ticket)

    def _free(self, service: str, public: bool) -> int:
        sessions = self.all()
        free = min(
            self._limits.pages - len(sessions),
            self._limits.app - sum(one.service == service for one in sessions),
        )
        if public:
            free = min(free, self._limits.public - sum(one.public for one in sessions))
        return free

    def _make_room(self, service: str) -> None:
        """End a session that no page has connected to, of the address with most of them.

        A program without cookies is a new visitor with each request.
        """
        # Pages of other apps make no room in an app that has all of its own.
        is_full = sum(one.service == service for one in self.all()) >= self._limits.app
        unopened = [
            one
            for one in self.all()
            if one.public and not one.opened and (one.service == service or not is_full)
        ]
        counts = Counter(one.visitor.address for one in unopened)
        address = max(counts, key=counts.__getitem__, default="")
        if counts[address] > UNOPENED:
            theirs = (one for one in unopened if one.visitor.address == address)
            self.close(max(theirs, key=lambda one: one.service == service))

    def on_message(self, message: FromSession) -> None:
        """Handle a message of a form kernel."""
        session = self._sessions.get(message.session)
        if session is None:
            return
        if isinstance(message, PageBuilt):
            session.set_built(message)
        elif isinstance(message, PageFailed):
            session.failed = True
            log.error("Could not build the page of %s: %s", session.service, message.reason)
        elif isinstance(message, Spent):
            log.warning("Closed a page of %s: %s.", session.service, message.reason)
            self.close(session)
        elif session.to_page is not None:
            session.to_page(message)

    def connect(
        self,
        session: PageSession,
        to_page: Callable[[ToPage], None],
        disconnect: Callable[[], None],
    ) -> None:
        """Attach the connection of a page; an older one is closed."""
        if session.disconnect is not None:
            session.disconnect()
        session.to_page, session.disconnect, session.opened = to_page, disconnect, True
        session.last_seen = time.monotonic()

    def disconnect(self, session: PageSession, to_page: Callable[[ToPage], None]) -> None:
        """Detach a closed connection; the session waits for the page to reconnect."""
        if session.to_page == to_page:
            session.to_page = session.disconnect = None
            session.last_seen = time.monotonic()

    def close(self, session: PageSession) -> None:
        """End a session: revoke its token, free its widgets, close its connection."""
        if self._sessions.pop(session.id, None) is None:
            return
        session.set_built(None)
        self._tokens.revoke(session.secret)
        session.send(ClosePage())
        if self.pool is not None:
            self.pool.release(session.kernel, session.id)
        disconnect, session.to_page, session.disconnect = session.disconnect, None, None
        if disconnect is not None:
            disconnect()

    def close_all(self, condition: Callable[[PageSession], bool] = lambda session: True) -> None:
        """End all sessions that meet the condition."""
        for session in filter(condition, self.all()):
            self.close(session)

    def on_kernel_lost(self, kernel: FormKernel) -> None:
        """End the sessions of a form kernel that has ended."""
        self.close_all(lambda session: session.kernel is kernel)

    async def close_expired(self) -> None:
        """End the sessions whose timeout is over."""
        self.close_all(self._is_expired)

    def _is_expired(self, session: PageSession) -> bool:
        silent = time.monotonic() - session.last_seen
        if not session.opened:
            return silent > self._limits.open_timeout
        connected = session.to_page is not None
        limit = self._limits.idle_timeout if connected else self._limits.reconnect_timeout
        return silent > limit
