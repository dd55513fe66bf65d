"""Identify the owner of a token without a handler and without asking anyone.

What identity providers remember of a token is asked, never kept a second time: so it is good here
for exactly as long as it is there.
"""

import hashlib
import hmac
import sys
from dataclasses import dataclass
from typing import Any

from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider

from easymlnb_server.identity.access import SINGLE_USER, Caller, JupyterUser, label
from easymlnb_server.services.registry import ServiceRegistry

JUPYTERS = (IdentityProvider, PasswordIdentityProvider)
HUBS = "jupyterhub.singleuser.extension"
LOGIN = "jupyterhub.services.auth"
OWN = "easymlnb_server.hub.identity_provider"


@dataclass(frozen=True, slots=True)
class KnownCaller:
    """Who sends a call. ``owner`` is what their calls are marked with."""

    caller: Caller
    owner: str


def sender_of(
    settings: dict[str, Any], services: ServiceRegistry, token: str
) -> KnownCaller | None:
    """Return whom Jupyter's own checks would let in with this token alone, for certain.

    ``None`` is no refusal: the handlers find out. ``settings`` are those of the web application.
    """
    provider, authorizer = settings.get("identity_provider"), settings.get("authorizer")
    kind = type(provider)
    if services.shared:
        # Its own, not an inherited one: a class that is made of this one may let in others.
        known = kind.__dict__.get("known")
        if known is None or not (
            type(authorizer) is AllowAllAuthorizer or _is(authorizer, OWN, "OwnRoutesOnly")
        ):
            return None
        person: JupyterUser | None = known(provider, token)
        if person is None:
            return None
        return KnownCaller(person.caller, label(person.username))
    owner = None
    if kind in JUPYTERS and type(authorizer) is AllowAllAuthorizer:
        owner = _by_own_token(provider, token)
    elif _is(provider, HUBS, "JupyterHubIdentityProvider") and (
        type(authorizer) is AllowAllAuthorizer or _is(authorizer, HUBS, "JupyterHubAuthorizer")
    ):
        owner = _by_the_hub(provider, token)
    return None if owner is None else KnownCaller(services.user, owner)


def _by_own_token(provider: Any, token: str) -> str | None:
    own = provider.token
    return SINGLE_USER if own and hmac.compare_digest(token.encode(), own.encode()) else None


def _by_the_hub(provider: Any, token: str) -> str | None:
    """Ask what JupyterHub's own login keeps of the Hub's answers, in a user's server."""
    login = provider.hub_auth
    if not _is(login, LOGIN, "HubOAuth"):
        return None
    # The key of a request without a session, which is one without cookies.
    key = f"token::{hashlib.sha256(token.encode('utf8', 'replace')).hexdigest()}"
    model = login.cache.get(key)
    if not model or not login.check_scopes(login.access_scopes, model):
        return None
    return label(model["name"])


def _is(one: Any, module: str, name: str) -> bool:
    """Say whether something is of just that class; who made it has imported the module."""
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and type(one) is found
