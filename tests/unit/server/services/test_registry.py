"""The services of many users on one server: who finds which in the lists, against a model."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from easymlnb.contract.names import quoted
from easymlnb_server.calls.log import CallLog
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.identity.access import Access, Action, Caller
from easymlnb_server.identity.names import bundle_id, qualified_name, short_name, slug
from easymlnb_server.openapi.document import document
from easymlnb_server.services.catalog import entries
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.models import VersionEntry
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.workers.circuit_breaker import CircuitBreaker
from support.fakes import spec, with_version

USERS = [f"user{number}" for number in range(20)]
GROUPS = ["ml", "ops", "bio"]
NAMES = [qualified_name(owner, name) for owner in USERS for name in ("one", "two", "three")]

some = st.frozensets(st.sampled_from(USERS), max_size=3)
groups = st.frozensets(st.sampled_from(GROUPS), max_size=2)
rarely = st.integers(0, 9).map(lambda drawn: drawn == 0)
accesses = st.builds(
    Access, users=some.map(tuple), groups=groups.map(tuple), everyone=rarely, public=rarely
)


def served(said):
    published = PublishedServices()
    published.open()
    for name, access in said.items():
        owner = name.partition("/")[0]
        bundle = bundle_id(owner, "c" * 64)
        where = SimpleNamespace(
            starter=SimpleNamespace(drift=None),
            bundle=bundle,
            state="ready",
            dispatcher=Dispatcher(0),
            breaker=CircuitBreaker(),
            reason="",
        )
        version = VersionEntry(1, bundle, spec(name), where, 1.0)
        published.set(name, with_version(version, owner, access))
    return ServiceRegistry(LiveServices(10), published, shared=True)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    st.lists(accesses, min_size=len(NAMES), max_size=len(NAMES)),
    st.lists(groups, min_size=len(USERS), max_size=len(USERS)),
    st.sampled_from(USERS),
)
def test_twenty_users_find_what_is_theirs_or_shared_with_them(drawn, members, admin):
    said = dict(zip(NAMES, drawn, strict=True))
    services, calls = _made(said)
    for user, mine in zip(USERS, members, strict=True):
        expected = {name for name in NAMES if name.startswith(f"{user}/")}
        expected |= {name for name, one in said.items() if user in one.users}
        expected |= {name for name, one in said.items() if mine & set(one.groups)}
        expected |= {name for name, one in said.items() if one.everyone or one.public}
        if user == admin:
            expected = set(NAMES)
        caller = Caller(user, mine, user == admin)
        listed = entries(services, calls.last, caller)
        assert {one.full_name for one in listed} == expected
        for one in listed:
            own = user == admin or one.owner == user
            assert (one.shared is not UNSET, one.bundle is not UNSET) == (own, own)
        described = document(services.specs(caller), {}, url="/", version="1", shared=True)["paths"]
        assert {name for name in NAMES if f"/services/{name}/call" in described} == expected
    public = {name for name, one in said.items() if one.public}
    assert set(services.names(None)) == public == {n for n in NAMES if services.public(n)}


def _made(said):
    async def build():
        return served(said), CallLog()

    return asyncio.run(build())


def test_who_may_do_nothing_cannot_tell_what_there_is():
    services, _ = _made({"alice/one": Access()})
    bob = Caller("bob")
    told = []
    for name in ("alice/one", "alice/none"):
        for action in Action:
            try:
                services.resolve(name, bob, action)
            except Exception as error:
                told.append(str(error).replace(name, "NAME"))
    assert len(told) == 2 * len(Action)
    assert len(set(told)) == 1


names = st.builds(
    qualified_name,
    st.text(st.characters(blacklist_characters="/", blacklist_categories=["Cs", "Cc"]), min_size=1),
    st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
)


@given(names, names)
def test_names_stay_apart_wherever_they_are_written(one, other):
    assert short_name(qualified_name("a", short_name(one))) == short_name(one)
    for written in (slug, quoted):
        assert (written(one) == written(other)) is (one == other)
    assert set(slug(one)) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
    )
    assert quoted(one).count("/") == 1
