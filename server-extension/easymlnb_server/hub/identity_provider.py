"""Login: OAuth of the Hub for pages, tokens of the Hub for scripts."""

from typing import Any

from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import User
from jupyter_server.base.handlers import JupyterHandler
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler
from jupyterhub.singleuser.extension import JupyterHubIdentityProvider
from traitlets import Float, default

from easymlnb.contract.errors import EasyMLNBError, Forbidden
from easymlnb.contract.hub_config import ACCESS, TOKENS, USERS
from easymlnb_server.hub.users import HubUser, HubUsers
from easymlnb_server.identity.access import Caller, JupyterUser

RESOURCE = "easymlnb"
"""The authorizer's name of our routes; those of Jupyter have other names."""

NO_SCOPE = (
    f"This token cannot access the shared service: the scope {ACCESS} is missing. The Hub's "
    f"administrator adds to c.JupyterHub.load_roles: {USERS}, and for the users' servers: "
    f"{TOKENS}"
)


class CachedHubOAuth(HubOAuth):  # type: ignore[misc]
    """JupyterHub's login with the bounded, short-lived cache of ``HubUsers``."""

    users: HubUsers

    def user_for_token(
        self, token: str, use_cache: bool = True, session_id: str = "", *, sync: bool = True
    ) -> Any:
        """Return an awaitable of the model of the token's user, or of ``None``."""
        return self._model(token)

    async def _model(self, token: str) -> dict[str, Any] | None:
        user = await self.users.find_by_token(token)
        return None if user is None else {"name": user.name, "user": user}


class HubIdentity(JupyterHubIdentityProvider):  # type: ignore[misc]
    """Identifies users whose token is valid for this service, on our routes only."""

    cache_seconds = Float(
        30.0,
        min=0.0,
        max=30.0,
        help="Seconds for which the Hub's information about a user is cached.",
    ).tag(config=True)

    @property
    def token(self) -> str:
        """Empty: a token of the server itself would open everything."""
        return ""

    @property
    def people(self) -> HubUsers:
        """The users of the Hub."""
        users: HubUsers = self.hub_auth.users
        return users

    @property
    def routes(self) -> tuple[tuple[Any, ...], ...]:
        """Routes to add to ours: the proxy forwards no others."""
        return ((r"oauth_callback", CallbackHandler, {"hub_auth": self.hub_auth}),)

    @default("hub_auth")
    def _default_hub_auth(self) -> CachedHubOAuth:
        oauth = CachedHubOAuth(parent=self)
        oauth.users = HubUsers(oauth.api_url, oauth.api_token, self.cache_seconds)
        return oauth

    def get_handlers(self) -> list[tuple[Any, ...]]:
        """Return no routes: the proxy does not forward those of Jupyter."""
        return []

    async def get_user(self, handler: JupyterHandler) -> User | None:
        if getattr(handler, "auth_resource", "") != RESOURCE:
            return None
        self._patch_get_login_url(handler)
        self._patch_xsrf(handler)
        try:
            return await self._find_user(handler)
        except EasyMLNBError as error:
            # Open routes still answer; all others raise this error.
            handler.refusal = error  # type: ignore[attr-defined]
            return None

    async def _find_user(self, handler: JupyterHandler) -> JupyterUser | None:
        model = await self.hub_auth.get_user(handler, sync=False)
        if model is None:
            return None
        user: HubUser = model["user"]
        if not _has_access(user):
            raise Forbidden(NO_SCOPE)
        return _jupyter_user(self.people.caller(user))

    def known(self, token: str) -> JupyterUser | None:
        """Return the user of a token if that needs no request to the Hub, else ``None``."""
        user: HubUser | None = self.people.cached(token)
        if user is None or not _has_access(user):
            return None
        return _jupyter_user(self.people.caller(user))


def _has_access(user: HubUser) -> bool:
    return ACCESS in user.scopes or "access:services" in user.scopes


def _jupyter_user(caller: Caller) -> JupyterUser:
    return JupyterUser(
        username=caller.name, groups=caller.groups, admin=caller.admin, names=caller.names
    )


class OwnRoutesOnly(Authorizer):
    """Allows our routes, whose handlers check each service's access, and none of Jupyter's."""

    def is_authorized(
        self, handler: JupyterHandler, user: User, action: str, resource: str
    ) -> bool:
        return resource == RESOURCE and isinstance(user, JupyterUser)


class CallbackHandler(HubOAuthCallbackHandler):  # type: ignore[misc]
    """The route that the Hub redirects to after a login."""

    def initialize(self, hub_auth: CachedHubOAuth) -> None:
        self.hub_auth = hub_auth

    @allow_unauthenticated
    async def get(self) -> None:
        await super().get()

    def get_current_user(self) -> None:
        return None  # a user who logs in twice is redirected once more
