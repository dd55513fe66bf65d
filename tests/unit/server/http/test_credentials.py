"""Owners of tokens on the fast path: only tokens that the identity provider knows now."""

import hashlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_server.auth.authorizer import AllowAllAuthorizer, Authorizer
from jupyter_server.auth.identity import IdentityProvider

from easymlnb_server.bundle_server.identity import ClusterIdentity
from easymlnb_server.http.fastpath.credentials import KnownCaller, find_known_caller
from easymlnb_server.identity.access import Caller, JupyterUser

SERVICES: Any = SimpleNamespace(shared=False, everyone=False, user=Caller("ann", admin=True))
SHARED: Any = SimpleNamespace(shared=True, everyone=False)
ACCESS = "access:servers!server=ann/"


class Knows(IdentityProvider):
    def known(self, token: str) -> JupyterUser | None:
        return JupyterUser("bob", groups=frozenset(["ml"])) if token == "bobs" else None


class LetsOthersIn(Knows):
    """Made of the one above: what it lets in is not what that one knows."""


class Strict(Authorizer):
    def is_authorized(self, *args: Any) -> bool:
        return False


def settings(provider: Any, authorizer: Any = None) -> dict[str, Any]:
    return {"identity_provider": provider, "authorizer": authorizer or AllowAllAuthorizer()}


def test_on_a_shared_service_a_provider_says_whom_it_knows() -> None:
    bob = KnownCaller(Caller("bob", frozenset(["ml"])), "user bob")
    assert find_known_caller(settings(Knows()), SHARED, "bobs") == bob
    assert find_known_caller(settings(Knows()), SHARED, "other") is None


@pytest.mark.parametrize(
    "changed",
    [settings(LetsOthersIn()), settings(Knows(), Strict()), settings(IdentityProvider()), {}],
)
def test_others_are_not_asked_there(changed: dict[str, Any]) -> None:
    assert find_known_caller(changed, SHARED, "bobs") is None


def test_the_token_of_a_shared_services_server_opens_nothing() -> None:
    assert find_known_caller(settings(IdentityProvider(token="own")), SHARED, "own") is None
    assert find_known_caller(
        settings(IdentityProvider(token="own")), SERVICES, "own"
    ) == KnownCaller(Caller("ann", admin=True), "user")


class Told:
    """What the Hub said of tokens."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found

    def known(self, token: str) -> Any:
        return self.found.get(token)


@pytest.mark.parametrize(
    ("scopes", "enters"),
    [({"access:services!service=easymlnb"}, True), ({"access:services"}, True), (set(), False)],
)
def test_the_services_own_login_asks_for_the_scope(
    scopes: set[str], enters: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jupyterhub")
    from easymlnb_server.hub.identity_provider import HubIdentity, OwnRoutesOnly
    from easymlnb_server.hub.users import HubUser

    bob = HubUser("bob", frozenset(["ml"]), True, frozenset(scopes))
    provider = HubIdentity()
    members = provider.hub_auth.users
    monkeypatch.setattr(members, "cached", Told({"bobs": bob}).known)
    caller = Caller("bob", frozenset(["ml"]), admin=True, names=frozenset(["bob"]))
    expected = KnownCaller(caller, "user bob")
    found = find_known_caller(settings(provider, OwnRoutesOnly()), SHARED, "bobs")
    assert found == (expected if enters else None)
    assert find_known_caller(settings(provider, OwnRoutesOnly()), SHARED, "other") is None
    assert find_known_caller(settings(provider, Strict()), SHARED, "bobs") is None


@pytest.fixture
def hubs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What JupyterHub puts into a user's server, with its answer for one token."""
    pytest.importorskip("jupyterhub")
    from jupyterhub.singleuser import extension

    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "servers-own")
    monkeypatch.setenv("JUPYTERHUB_OAUTH_ACCESS_SCOPES", f'["{ACCESS}"]')
    yield extension


def remember(provider: Any, token: str, model: dict[str, Any] | None) -> None:
    key = hashlib.sha256(token.encode()).hexdigest()
    provider.hub_auth.cache[f"token::{key}"] = model


def test_a_users_server_takes_what_jupyterhub_remembers(hubs: Any) -> None:
    provider = hubs.JupyterHubIdentityProvider()
    authorizer = hubs.JupyterHubAuthorizer(identity_provider=provider)
    remember(provider, "good", {"name": "ann", "scopes": [ACCESS]})
    remember(provider, "narrow", {"name": "bob", "scopes": ["read:users!user=bob"]})
    remember(provider, "wrong", None)
    known = settings(provider, authorizer)
    assert find_known_caller(known, SERVICES, "good") == KnownCaller(
        Caller("ann", admin=True), "user ann"
    )
    for token in ("narrow", "wrong", "never seen", "servers-own"):
        assert find_known_caller(known, SERVICES, token) is None
    assert find_known_caller(settings(provider, Strict()), SERVICES, "good") is None
    assert find_known_caller(known, SHARED, "good") is None
    provider.hub_auth.cache.clear()
    assert find_known_caller(known, SERVICES, "good") is None


def test_classes_made_of_jupyterhubs_are_not_known(hubs: Any) -> None:
    class Own(hubs.JupyterHubIdentityProvider):  # type: ignore[misc, name-defined]
        pass

    class OwnRules(hubs.JupyterHubAuthorizer):  # type: ignore[misc, name-defined]
        pass

    for kind, rules in (
        (Own, hubs.JupyterHubAuthorizer),
        (hubs.JupyterHubIdentityProvider, OwnRules),
    ):
        provider = kind()
        remember(provider, "good", {"name": "ann", "scopes": [ACCESS]})
        known = settings(provider, rules(identity_provider=provider))
        assert find_known_caller(known, SERVICES, "good") is None


def test_a_server_that_trusts_its_cluster_knows_everyone() -> None:
    user = Caller("ann")
    trusting: Any = SimpleNamespace(shared=False, everyone=True, user=user)
    for token in ("", "a.jwt.of-the-mesh"):
        found = find_known_caller(settings(ClusterIdentity()), trusting, token)
        assert found is not None and found.caller is user and found.owner == "user ann"
    # A server that was set up in another way may ask for a login.
    for provider in (IdentityProvider(token="own"), None):
        assert find_known_caller(settings(provider), trusting, "") is None
