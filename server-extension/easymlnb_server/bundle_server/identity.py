"""The identity of callers of a server that trusts its cluster: one caller, without a login."""

from typing import Any

from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler
from traitlets import Bool

from easymlnb.contract.errors import Forbidden
from easymlnb_server.services.account import account

TRUSTED = (
    "TRUSTING THE CLUSTER: everyone who can reach port %d may call all services, without a login. "
    "Restrict access with the cluster's network policies or gateway."
)
FOREIGN = Forbidden(
    "This server accepts no requests from web pages of other origins. Send the request from a "
    "program, or from a page of the same host."
)


class ClusterIdentity(IdentityProvider):
    """Accepts every request that the cluster has authorized.

    Only requests of pages from other origins are refused. A browser inside the network may send
    them for a page that its user happened to open.
    """

    need_token = Bool(False)

    def get_user(self, handler: JupyterHandler) -> User | None:  # type: ignore[override]
        """Return the one caller."""
        if not handler.check_origin():
            handler.refusal = FOREIGN  # type: ignore[attr-defined]
            return None
        handler._token_authenticated = True  # type: ignore[attr-defined]
        return User(username=account())

    def validate_security(self, app: Any, ssl_options: dict[str, Any] | None = None) -> None:
        """Log that callers need no login."""
        app.log.warning(TRUSTED, app.port)
