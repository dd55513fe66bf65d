"""What all handlers share: who calls, and how errors become answers. The only such place.

Jupyter's own ``prepare`` does work per request that a call does not need, so this one asks the
same parts of Jupyter (identity provider, authorizer, host, XSRF) the same questions and no more.
"""

import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from http.client import responses
from types import TracebackType
from typing import Any, ClassVar, TypeVar, cast

import msgspec
from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotLoggedIn,
    RouteNotFound,
)
from easymlnb_server.apps.page_tokens import SCHEME, PageToken
from easymlnb_server.context import STATE, ServerContext
from easymlnb_server.identity.access import Action, Caller, JupyterUser
from easymlnb_server.identity.revocation import GONE
from easymlnb_server.services.models import Target

RESOURCE = "easymlnb"
"""Name of our resource for an ``Authorizer``; actions are ``read``, ``write`` and ``execute``."""

ACTIONS = {"GET": "read", "HEAD": "read", "POST": "execute"}

RETRY_AFTER = 2
"""Seconds after which who got 503 may try again, where nothing better is known."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")

LONGEST_PATH = 500
"""Characters of a path in a log line."""

log = logging.getLogger("easymlnb.requests")
audit = logging.getLogger("easymlnb.audit")


def retry_after(error: EasyMLNBError) -> str | None:
    """Return after how many seconds to try again; ``None`` where that does not help."""
    told = error.details.get("retry_after") if isinstance(error.details, dict) else None
    if told is None and error.status == 503:
        told = RETRY_AFTER
    return None if told is None else str(told)


Method = TypeVar("Method", bound=Callable[..., Any])


def decides_itself(method: Method) -> Method:
    """Mark a method of a handler that decides by other means than a login who gets in.

    Jupyter warns at each start of those that nobody seems to have thought of. Without a login
    ``on_anonymous`` is still asked.
    """
    setattr(method, "__allow_unauthenticated", False)
    return method


class EasyHandler(JupyterHandler):
    """Base of all routes. Without credentials everything is refused unless a method says otherwise.

    A method is opened to everybody with Jupyter's ``@allow_unauthenticated``.
    """

    auth_resource = RESOURCE
    actions: ClassVar[dict[str, str]] = {}
    audited: ClassVar[bool] = True
    """Whether what it changes is worth a line in the log of a shared service."""
    audited_reads: ClassVar[bool] = False
    """The same of what it shows: only what others than the owner should have a reason to read."""
    request_id = ""
    held: PageToken | None = None
    """The pass that came in place of a login: one app page's, for its one service."""
    refusal: EasyMLNBError | None = None
    """Why an identity provider did not let somebody in who has credentials; it sets this."""
    caller: Caller | None = None
    """Who asks, once the request is prepared; ``None`` is a visitor without a login."""

    @property
    def state(self) -> ServerContext:
        return cast("ServerContext", self.settings[STATE])

    @property
    def address(self) -> str:
        """The absolute address of all our routes, as the caller's side sees it."""
        return f"{self.request.protocol}://{self.request.host}{self.base_url}easymlnb/"

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", self.content_security_policy)
        self.set_header("Cache-Control", "no-store")

    @property
    def content_security_policy(self) -> str:
        return "default-src 'none'; frame-ancestors 'self'"

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        given = self.request.headers.get("X-Request-Id", "")
        self.request_id = given if REQUEST_ID.match(given) else uuid.uuid4().hex
        self.set_header("X-Request-Id", self.request_id)
        method = self.request.method or ""
        # Pages of errors ask for it, also of those that come before anybody is identified.
        self.current_user = self._jupyter_current_user = None
        if not self.check_host():
            raise Forbidden(
                "The request's Host header names a host that this server does not accept. Set "
                "ServerApp.local_hostnames or ServerApp.allow_remote_access."
            )
        user = self.current_user = self._jupyter_current_user = await self._identify()
        if user is not None and self.held is None:
            self.caller = self._who(user)
        self.set_cors_headers()
        verb = getattr(self, method.lower(), None)
        if user is None and not getattr(verb, "__allow_unauthenticated", False):
            if self.refusal is not None:
                raise self.refusal
            self.on_anonymous()
        if method not in ("GET", "HEAD", "OPTIONS"):
            self.check_xsrf_cookie()
        if user is not None and self.held is None:
            await self._authorize(method)

    def on_anonymous(self) -> None:
        """Refuse a request without credentials; pages send people to the login instead."""
        raise NotLoggedIn

    def admits(self, held: PageToken) -> bool:
        """Say whether a pass opens this request; it opens nothing unless a handler says so."""
        return False

    def target(self, name: str, action: Action, *, live: bool = False) -> Target:
        """Return who answers a name, if the caller may do that with it.

        Raises ``ServiceNotFound`` otherwise too: nobody learns what others have.
        """
        return self.state.services.resolve(name, self.caller, action, live=live)

    def manages(self, name: str) -> bool:
        """Say whether the caller is the owner of a service, or an administrator."""
        return self.state.services.allows(self.caller, name, Action.MANAGE)

    def _who(self, user: User) -> Caller:
        if not self.state.services.shared:
            return self.state.services.user
        return user.caller if isinstance(user, JupyterUser) else Caller(user.username)

    async def _identify_pass(self, header: str) -> User:
        held = self.held = self.state.apps.tokens.find(header)
        if held is None:
            raise NotLoggedIn
        if not self.admits(held):
            raise Forbidden("A page's token is valid for the page's own service only.")
        if not held.public:
            # Who they are now: the page may have been open for hours.
            self.caller = await self.state.users.find(held.visitor)
        services = self.state.services
        # What is no longer open to them closes at once, also for pages that are open.
        if held.public and not services.public(held.service):
            raise Forbidden("This service is no longer public.")
        if not held.public and not services.allows(self.caller, held.service, Action.CALL):
            raise Forbidden(GONE)
        # No cookie came along, so no other site can have sent this in the visitor's name.
        self._token_authenticated = True
        return User(username=held.visitor)

    async def _identify(self) -> Any:
        header = self.request.headers.get("Authorization", "")
        if header.startswith(SCHEME):
            return await self._identify_pass(header)
        provider = self.identity_provider
        if (
            "Authorization" in self.request.headers
            and type(provider).get_user is IdentityProvider.get_user
        ):
            # Jupyter would also sign a login cookie for every such request; scripts keep none.
            user = await provider.get_user_token(self)
            if user is not None:
                self._token_authenticated = True
                return user
        found = provider.get_user(self)
        return await found if isinstance(found, Awaitable) else found

    async def _authorize(self, method: str) -> None:
        action = self.actions.get(method) or ACTIONS.get(method, "write")
        allowed = self.authorizer.is_authorized(self, self.current_user, action, self.auth_resource)
        if not (await allowed if isinstance(allowed, Awaitable) else allowed):
            raise Forbidden("You do not have permission to do this.")

    def on_finish(self) -> None:
        """Log who changed something of a shared service, or tried to, and who read a log."""
        method = self.request.method or ""
        reads = method in ("GET", "HEAD", "OPTIONS")
        if self.caller is None or not (self.audited_reads if reads else self.audited):
            return
        if self.state.services.shared:
            told = {
                "request_id": self.request_id,
                "caller": self.caller.name,
                "method": method,
                "path": self.request.path[:LONGEST_PATH],
                "status": self.get_status(),
            }
            audit.info("audit", extra=told)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.set_header("X-Request-Id", self.request_id)
        error = self.public(kwargs.get("exc_info", (None, None, None))[1])
        self.set_status(error.status)
        self.set_header("Content-Type", "application/json")
        if (seconds := retry_after(error)) is not None:
            self.set_header("Retry-After", seconds)
        self.finish(json.dumps(error.to_dict(self.request_id)))

    def public(self, error: BaseException | None) -> EasyMLNBError:
        """Return what a caller may know of an error."""
        if isinstance(error, EasyMLNBError):
            return error
        if not isinstance(error, web.HTTPError):
            return InternalError()
        if error.status_code == 404:
            return RouteNotFound()
        if error.status_code == 405:
            return MethodNotAllowed(self.request.method or "")
        if error.status_code in (401, 403):
            return Forbidden(error.log_message or "You do not have permission to do this.")
        if error.status_code < 500:
            return BadRequest(error.log_message or responses.get(error.status_code, "Bad request."))
        return InternalError()

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if isinstance(value, EasyMLNBError | web.HTTPError):
            code = getattr(value, "code", "http")
            log.info("refused", extra={"request_id": self.request_id, "code": code})
        else:
            extra = {"request_id": self.request_id}
            log.error("failed", exc_info=(typ, value, tb), extra=extra)  # type: ignore[arg-type]

    def compute_etag(self) -> None:
        """Answers are not stored by anybody, so hashing them would be for nothing."""

    def write_json(self, value: Any, status: int = 200) -> None:
        """Answer with JSON: a response struct or plain JSON values."""
        self.set_status(status)
        found = msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
        self.finish(json.dumps(found, allow_nan=False))


class NotFoundHandler(EasyHandler):
    """Whatever no other route takes."""

    @web.authenticated
    async def get(self) -> None:
        raise RouteNotFound

    post = put = patch = delete = get
