"""Log in: pages by the Hub's OAuth, scripts by the Hub's tokens."""

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
"""Name of our own routes for an authorizer; Jupyter's own have other names."""

NO_ENTRY = (
    f"This token cannot access the shared service: the scope {ACCESS} is missing. The Hub's "
    f"administrator adds to c.JupyterHub.load_roles: {USERS}, and for the users' servers: "
    f"{TOKENS}"
)


class CachedHubOAuth(HubOAuth):  # type: ignore[misc]
    """JupyterHub's own login, except that what the Hub says is kept for seconds, and bounded."""

    members: HubUsers

    def user_for_token(
        self, token: str, use_cache: bool = True, session_id: str = "", *, sync: bool = True
    ) -> Any:
        """Return, once awaited, the Hub's model of whose token this is; ``None`` if nobody's."""
        return self._model(token)

    async def _model(self, token: str) -> dict[str, Any] | None:
        found = await self.members.whose(token)
        return None if found is None else {"name": found.name, "member": found}


class HubIdentity(JupyterHubIdentityProvider):  # type: ignore[misc]
    """Knows users of the Hub whose token is good for this service, on our own routes only."""

    cache_seconds = Float(
        30.0,
        min=0.0,
        max=30.0,
        help="Seconds for which the Hub's information about a user is cached.",
    ).tag(config=True)

    @property
    def token(self) -> str:
        """There is none of the server's own: it would open everything to whoever reads it."""
        return ""

    @property
    def people(self) -> HubUsers:
        """Who the Hub's users are."""
        found: HubUsers = self.hub_auth.members
        return found

    @property
    def routes(self) -> tuple[tuple[Any, ...], ...]:
        """What belongs among our own routes, where the proxy leads."""
        return ((r"oauth_callback", CallbackHandler, {"hub_auth": self.hub_auth}),)

    @default("hub_auth")
    def _default_hub_auth(self) -> CachedHubOAuth:
        made = CachedHubOAuth(parent=self)
        made.members = HubUsers(made.api_url, made.api_token, self.cache_seconds)
        return made

    def get_handlers(self) -> list[tuple[Any, ...]]:
        """Return no routes: Jupyter would put them where no proxy leads."""
        return []

    async def get_user(self, handler: JupyterHandler) -> User | None:
        if getattr(handler, "auth_resource", "") != RESOURCE:
            return None
        self._patch_get_login_url(handler)
        self._patch_xsrf(handler)
        try:
            return await self._person(handler)
        except EasyMLNBError as error:
            # What is open to everybody is open to them as well; all else tells them this.
            handler.refusal = error  # type: ignore[attr-defined]
            return None

    async def _person(self, handler: JupyterHandler) -> JupyterUser | None:
        found = await self.hub_auth.get_user(handler, sync=False)
        if found is None:
            return None
        member: HubUser = found["member"]
        if not _enters(member):
            raise Forbidden(NO_ENTRY)
        return _person(self.people.caller(member))

    def known(self, token: str) -> JupyterUser | None:
        """Return whom ``get_user`` would with this token alone, if it is known without asking.

        ``None`` says nothing: the Hub may have to be asked, or the token may not be good for us.
        """
        found: HubUser | None = self.people.known(token)
        if found is None or not _enters(found):
            return None
        return _person(self.people.caller(found))


def _enters(member: HubUser) -> bool:
    return ACCESS in member.scopes or "access:services" in member.scopes


def _person(caller: Caller) -> JupyterUser:
    return JupyterUser(
        username=caller.name, groups=caller.groups, admin=caller.admin, names=caller.names
    )


class OwnRoutesOnly(Authorizer):
    """Opens our own routes, whose handlers look at each service's rights, and none of Jupyter's."""

    def is_authorized(
        self, handler: JupyterHandler, user: User, action: str, resource: str
    ) -> bool:
        return resource == RESOURCE and isinstance(user, JupyterUser)


class CallbackHandler(HubOAuthCallbackHandler):  # type: ignore[misc]
    """Where the Hub sends people back who have logged in."""

    def initialize(self, hub_auth: CachedHubOAuth) -> None:
        self.hub_auth = hub_auth

    @allow_unauthenticated
    async def get(self) -> None:
        await super().get()

    def get_current_user(self) -> None:
        # It is asked for only by those who come a second time; they go where they wanted to.
        return None
