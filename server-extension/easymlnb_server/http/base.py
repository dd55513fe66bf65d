"""The base of all handlers: identify the caller, and turn errors into responses.

Jupyter's own ``prepare`` does work per request that a call does not need. This one makes the same
checks (identity provider, authorizer, host, XSRF) and nothing else.
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
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from easymlnb.contract import api_keys
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
from easymlnb_server.http.rate_limits import rate_limit_headers
from easymlnb_server.http.refusals import methods_of
from easymlnb_server.identity.access import Action, Caller, JupyterUser
from easymlnb_server.identity.grants import KeyGrant, Scope
from easymlnb_server.identity.revocation import ACCESS_REVOKED
from easymlnb_server.observability.log_filter import hide_keys
from easymlnb_server.services.models import Target

RESOURCE = "easymlnb"
"""Name of our resource for an ``Authorizer``; actions are ``read``, ``write`` and ``execute``."""

ACTIONS = {"GET": "read", "HEAD": "read", "POST": "execute"}

RETRY_AFTER = 2
"""Seconds until a retry after a 503 response, if the error has no better value."""

MAX_RETRY_AFTER = 10**9

CORS_HEADERS = (
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, Mcp-Method, Mcp-Name, "
    "Mcp-Protocol-Version, Mcp-Session-Id, Prefer, X-API-Key, "
    "X-Easymlnb-Uploads, X-Easymlnb-Version, X-Easymlnb-Webhook, X-Easymlnb-Webhook-Events, "
    "X-Easymlnb-Webhook-Secret, X-Priority, X-Request-Id, X-Timeout, X-XSRFToken"
)
"""Request headers that a page of another origin may send, if its origin is allowed."""

REQUEST_ID = re.compile(r"(?!emnb_)[A-Za-z0-9._-]{8,64}\Z")

MAX_PATH = 500
"""Maximum characters of a path in a log line."""

KEY_HEADER = "X-API-Key"
KEY_IN_URL = (
    "API keys are not accepted in URLs, which end up in logs and histories. Send the header "
    "'Authorization: Bearer <KEY>' instead, and revoke the key if others may have seen the URL."
)
NO_KEYS = "API keys can only call services and read about them. Log in to do this."
ONLY_CALLS = (
    "This server only answers calls of the services that it was started with. It has no app pages: "
    "use 'easymlnb serve', or a Hub's shared service. To change its services, start it with "
    "another bundle."
)

log = logging.getLogger("easymlnb.requests")
audit = logging.getLogger("easymlnb.audit")


def retry_after(error: EasyMLNBError) -> str | None:
    """Return the seconds until a retry, or ``None`` if a retry does not help."""
    given = error.details.get("retry_after") if isinstance(error.details, dict) else None
    # A service's function can put anything there, also what would be another header.
    if isinstance(given, int | float) and given is not True and 0 <= given < MAX_RETRY_AFTER:
        return str(given)
    return str(RETRY_AFTER) if error.status == 503 else None


Method = TypeVar("Method", bound=Callable[..., Any])


def custom_access_check(method: Method) -> Method:
    """Mark a method of a handler that checks access by other means than a login.

    Jupyter warns at each start about unmarked methods. Without a login ``on_anonymous`` still runs.
    """
    setattr(method, "__allow_unauthenticated", False)
    return method


class EasyHandler(JupyterHandler):
    """Base of all routes. Requests without credentials are refused by default.

    Jupyter's ``@allow_unauthenticated`` opens a method to all callers.
    """

    auth_resource = RESOURCE
    actions: ClassVar[dict[str, str]] = {}
    key_scopes: ClassVar[dict[str, tuple[Scope, ...]]] = {}
    """The scopes of which an API key needs one, by method. Keys may use no other method."""
    audited: ClassVar[bool] = True
    """Whether a shared service logs changes by this handler."""
    audited_reads: ClassVar[bool] = False
    """Whether it also logs reads, for data that only the owner normally reads."""
    request_id = ""
    page_token: PageToken | None = None
    """The token of an app page, which replaces a login and is valid for one service."""
    refusal: EasyMLNBError | None = None
    """The reason for which the identity provider rejected the credentials; set by the provider."""
    caller: Caller | None = None
    """The caller, set by ``prepare``; ``None`` for a visitor without a login."""
    is_visitor = False
    """Whether the route accepts the request without credentials; set by ``on_anonymous``."""

    @property
    def state(self) -> ServerContext:
        return cast("ServerContext", self.settings[STATE])

    @property
    def address(self) -> str:
        """The absolute URL of all our routes, as the caller sees it."""
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
        # Error pages read it, even if the error precedes the identification.
        self.current_user = self._jupyter_current_user = None
        if not self.check_host():
            raise Forbidden(
                "The request's Host header names a host that this server does not accept. Set "
                "ServerApp.local_hostnames or ServerApp.allow_remote_access."
            )
        self._refuse_key_in_url()
        user = self.current_user = self._jupyter_current_user = await self._identify()
        if user is not None and self.page_token is None and self.caller is None:
            self.caller = self._as_caller(user)
        self.set_cors_headers()
        verb = getattr(self, method.lower(), None)
        if user is None and not getattr(verb, "__allow_unauthenticated", False):
            if self.refusal is not None:
                raise self.refusal
            self.on_anonymous()
        if method not in ("GET", "HEAD", "OPTIONS") and not self.is_visitor:
            self.check_xsrf_cookie()
        if self.caller is not None and self.caller.key is not None:
            # Callers without a login can see what is open to everyone, such as health checks.
            if self.caller.key.id or not getattr(verb, "__allow_unauthenticated", False):
                self._check_scope(method, self.caller.key)
        elif user is not None and self.page_token is None:
            await self._authorize(method)

    def on_anonymous(self) -> None:
        """Refuse a request without credentials; pages redirect to the login instead."""
        raise NotLoggedIn

    def scopes_for(self, method: str) -> tuple[Scope, ...]:
        """Return the scopes of which an API key needs one; none if keys are not accepted."""
        return self.key_scopes.get("GET" if method == "HEAD" else method, ())

    def accepts_token(self, token: PageToken) -> bool:
        """Return whether a page token is valid for this request; by default it is not."""
        return False

    def target(self, name: str, action: Action, *, live: bool = False) -> Target:
        """Return the target of a service name, if the caller has the right for the action.

        Raises ``ServiceNotFound`` also without the right, so that names of private services do not
        leak.
        """
        return self.state.services.resolve(name, self.caller, action, live=live)

    def can_manage(self, name: str) -> bool:
        """Return whether the caller is the owner of a service, or an administrator."""
        return self.state.services.allows(self.caller, name, Action.MANAGE)

    def _as_caller(self, user: User) -> Caller:
        if not self.state.services.shared:
            return self.state.services.user
        return user.caller if isinstance(user, JupyterUser) else Caller(user.username)

    async def _identify_page(self, header: str) -> User:
        token = self.page_token = self.state.apps.tokens.find(header)
        if token is None:
            raise NotLoggedIn
        if not self.accepts_token(token):
            raise Forbidden("A page's token is valid for the page's own service only.")
        if not token.public:
            # Their current rights: the page may have been open for hours.
            self.caller = await self.state.users.find(token.visitor)
        services = self.state.services
        # Revoked access ends at once, also for open pages.
        if token.public and not services.public(token.service):
            raise Forbidden("This service is no longer public.")
        if not token.public and not services.allows(self.caller, token.service, Action.CALL):
            raise Forbidden(ACCESS_REVOKED)
        # Without a cookie, no other site can have sent this request for the visitor.
        self._token_authenticated = True
        return User(username=token.visitor)

    async def _identify_key(self, text: str) -> User:
        keys = self.state.keys
        key = keys.find(text)
        if key is None:
            keys.check_open()
            raise NotLoggedIn
        self.caller = await keys.caller(key)
        if self.caller is None:
            raise NotLoggedIn
        # Without a cookie, no other site can have sent this request for the holder.
        self._token_authenticated = True
        return User(username=self.caller.name)

    def _check_scope(self, method: str, key: KeyGrant) -> None:
        scopes = self.scopes_for(method)
        if not scopes and method not in self.allowed_methods.split(", "):
            raise MethodNotAllowed(method)  # 403 would say that another caller could use it
        if not scopes:
            raise Forbidden(NO_KEYS if key.id else ONLY_CALLS)
        if key.scopes.isdisjoint(scopes):
            raise Forbidden(f"This API key lacks the scope {' or '.join(map(repr, scopes))}.")

    def _refuse_key_in_url(self) -> None:
        """Refuse a key in the query; one in the path is part of a name that does not exist."""
        values = (value for found in self.request.query_arguments.values() for value in found)
        if any(api_keys.PREFIX.encode() in value for value in values):
            raise BadRequest(KEY_IN_URL)

    async def _identify(self) -> Any:
        header = self.request.headers.get("Authorization", "")
        if header.startswith(SCHEME):
            return await self._identify_page(header)
        if (text := key_in_headers(header, self.request.headers.get(KEY_HEADER, ""))) is not None:
            return await self._identify_key(text)
        provider = self.identity_provider
        if (
            "Authorization" in self.request.headers
            and type(provider).get_user is IdentityProvider.get_user
        ):
            # Jupyter would also sign a login cookie for each such request; scripts ignore it.
            user = await provider.get_user_token(self)
            if user is not None:
                self._token_authenticated = True
                return user
        result = provider.get_user(self)
        return await result if isinstance(result, Awaitable) else result

    async def _authorize(self, method: str) -> None:
        action = self.actions.get(method) or ACTIONS.get(method, "write")
        allowed = self.authorizer.is_authorized(self, self.current_user, action, self.auth_resource)
        if not (await allowed if isinstance(allowed, Awaitable) else allowed):
            raise Forbidden("You do not have permission to do this.")

    async def record(
        self, action: str, target: str, *, owner: str = "", details: dict[str, Any] | None = None
    ) -> None:
        """Record an event of the caller in the audit log; see ``AuditLog.record``."""
        await self.state.audit.record(
            action,
            target,
            caller=self.caller,
            owner=owner,
            request_id=self.request_id,
            details=details,
        )

    def on_finish(self) -> None:
        """Log changes of a shared service, attempted changes, and reads of its logs."""
        method = self.request.method or ""
        reads = method in ("GET", "HEAD", "OPTIONS")
        if self.caller is None or not (self.audited_reads if reads else self.audited):
            return
        if self.state.services.shared:
            fields = {
                "request_id": self.request_id,
                "caller": self.caller.name,
                "method": method,
                "path": hide_keys(self.request.path)[:MAX_PATH],
                "status": self.get_status(),
            }
            audit.info("audit", extra=fields)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.set_header("X-Request-Id", self.request_id)
        error = self.public_error(kwargs.get("exc_info", (None, None, None))[1])
        self.set_status(error.status)
        self.set_header("Content-Type", "application/json")
        if (seconds := retry_after(error)) is not None:
            self.set_header("Retry-After", seconds)
        for name, value in rate_limit_headers(error).items():
            self.set_header(name, value)
        if isinstance(error, MethodNotAllowed):
            self.set_header("Allow", self.allowed_methods)
        self.finish(self.error_body(error))

    def error_body(self, error: EasyMLNBError) -> str:
        """Return the text of the response to a request that failed: by default, JSON."""
        return json.dumps(self.error_document(error))

    def error_document(self, error: EasyMLNBError) -> dict[str, Any]:
        """Return the body of the response to a request that failed."""
        return error.to_dict(self.request_id)

    @property
    def allowed_methods(self) -> str:
        """The methods of this route, as in an ``Allow`` header."""
        return methods_of(type(self))

    @allow_unauthenticated
    def options(self, *args: str) -> None:
        """Return the methods of this route, also to browsers that ask before calling."""
        self.set_header("Allow", self.allowed_methods)
        if "Origin" in self.request.headers:
            self.set_header("Access-Control-Allow-Methods", self.allowed_methods)
            self.set_header("Access-Control-Allow-Headers", CORS_HEADERS)
        self.clear_header("Content-Type")
        self.set_status(204)
        self.finish()

    def public_error(self, error: BaseException | None) -> EasyMLNBError:
        """Return the error as the caller may see it."""
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
        """Return no hash: responses are not cached."""

    def write_json(self, value: Any, status: int = 200) -> None:
        """Send JSON: a response struct or JSON values."""
        self.set_status(status)
        builtins = msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
        self.finish(json.dumps(builtins, allow_nan=False))


def key_in_headers(authorization: str, key_header: str) -> str | None:
    """Return the API key in the headers of a request; ``None`` if there is none."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() in ("bearer", "token") and api_keys.is_key(token):
        return token
    return key_header if api_keys.is_key(key_header) else None
