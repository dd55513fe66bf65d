"""Identify the owner of a token without a handler and without a request to the Hub.

Tokens are looked up in the caches of the identity providers and never cached again, so that they
expire here and there at the same time.
"""

import hashlib
import hmac
import sys
from dataclasses import dataclass
from typing import Any

from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider

from easymlnb_server.identity.access import SINGLE_USER, Caller, JupyterUser, owner_key
from easymlnb_server.identity.api_keys.keys import ApiKeys, owner_of_calls
from easymlnb_server.identity.api_keys.models import ApiKey
from easymlnb_server.identity.grants import Scope
from easymlnb_server.services.registry import ServiceRegistry

JUPYTER_PROVIDERS = (IdentityProvider, PasswordIdentityProvider)
HUB_MODULE = "jupyterhub.singleuser.extension"
LOGIN_MODULE = "jupyterhub.services.auth"
OWN_MODULE = "easymlnb_server.hub.identity_provider"
CLUSTER_MODULE = "easymlnb_server.bundle_server.identity"


@dataclass(frozen=True, slots=True)
class KnownCaller:
    """The caller of a request. ``owner`` is the owner key of the caller's calls."""

    caller: Caller
    owner: str


def find_key_holder(keys: ApiKeys, key: ApiKey, owner: Caller | None) -> KnownCaller | None:
    """Return the caller with a valid key of a user who is known without a request to the Hub."""
    caller = keys.as_caller(key, owner) if owner is not None else None
    if caller is None or Scope.CALL not in key.scopes:
        return None
    return KnownCaller(caller, owner_of_calls(key.id))


def find_known_caller(
    settings: dict[str, Any], services: ServiceRegistry, token: str
) -> KnownCaller | None:
    """Return the caller whom Jupyter's own checks would certainly accept with this token alone.

    ``None`` is not a refusal: the handlers decide. ``settings`` are those of the web application.
    """
    provider, authorizer = settings.get("identity_provider"), settings.get("authorizer")
    kind = type(provider)
    if services.shared:
        # Not an inherited method: a subclass may accept other callers.
        known = kind.__dict__.get("known")
        if known is None or not (
            type(authorizer) is AllowAllAuthorizer
            or _is_exactly(authorizer, OWN_MODULE, "OwnRoutesOnly")
        ):
            return None
        user: JupyterUser | None = known(provider, token)
        if user is None:
            return None
        return KnownCaller(user.caller, owner_key(user.username))
    if services.everyone:
        # Another provider may ask for a login.
        if not _is_exactly(provider, CLUSTER_MODULE, "ClusterIdentity"):
            return None
        return KnownCaller(services.user, owner_key(services.user.name))
    owner = None
    if kind in JUPYTER_PROVIDERS and type(authorizer) is AllowAllAuthorizer:
        owner = _owner_by_server_token(provider, token)
    elif _is_exactly(provider, HUB_MODULE, "JupyterHubIdentityProvider") and (
        type(authorizer) is AllowAllAuthorizer
        or _is_exactly(authorizer, HUB_MODULE, "JupyterHubAuthorizer")
    ):
        owner = _owner_by_hub_token(provider, token)
    return None if owner is None else KnownCaller(services.user, owner)


def _owner_by_server_token(provider: Any, token: str) -> str | None:
    server_token = provider.token
    return (
        SINGLE_USER
        if server_token and hmac.compare_digest(token.encode(), server_token.encode())
        else None
    )


def _owner_by_hub_token(provider: Any, token: str) -> str | None:
    """Look up the token in the cache of JupyterHub's login, in a user's server."""
    hub_auth = provider.hub_auth
    if not _is_exactly(hub_auth, LOGIN_MODULE, "HubOAuth"):
        return None
    # The cache key of a request without a session, that is, without cookies.
    key = f"token::{hashlib.sha256(token.encode('utf8', 'replace')).hexdigest()}"
    model = hub_auth.cache.get(key)
    if not model or not hub_auth.check_scopes(hub_auth.access_scopes, model):
        return None
    return owner_key(model["name"])


def _is_exactly(value: Any, module: str, name: str) -> bool:
    """Return whether a value is of exactly this class, without importing its module."""
    expected = getattr(sys.modules.get(module), name, None)
    return expected is not None and type(value) is expected
