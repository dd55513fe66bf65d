"""Who may do what: the rules, against a model that lists everybody who is let in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easymlnb.contract.errors import BadRequest
from easymlnb_server.identity.access import (
    PRIVATE,
    Access,
    Action,
    Caller,
    SingleUserDirectory,
    is_allowed,
    parse_access,
)

PEOPLE = ("alice", "bob", "carol", "dave")
GROUPS = ("ml", "ops", "bob")  # a group may be called like a user


def subsets(names: tuple[str, ...]) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(names))


memberships = st.fixed_dictionaries({name: subsets(GROUPS) for name in PEOPLE})
accesses = st.builds(
    Access,
    users=subsets(PEOPLE).map(tuple),
    groups=subsets(GROUPS).map(tuple),
    everyone=st.booleans(),
    public=st.booleans(),
)


def let_in(
    members: dict[str, frozenset[str]], admins: frozenset[str], owner: str, access: Access
) -> dict[str, set[str | None]]:
    """Return who may manage and who may use a service, by adding one crowd after the other."""
    managers: set[str | None] = {owner, *admins}
    users = managers | set(access.users)
    for group in access.groups:
        users |= {name for name, of in members.items() if group in of}
    if access.everyone or access.public:
        users |= set(members)
    if access.public:
        users |= {None}
    return {"manage": managers, "see": users, "call": users}


@pytest.mark.slow
@given(memberships, subsets(PEOPLE), st.sampled_from(PEOPLE), accesses, st.sampled_from(Action))
def test_everybody_gets_what_the_model_says(
    members: dict[str, frozenset[str]],
    admins: frozenset[str],
    owner: str,
    access: Access,
    action: Action,
) -> None:
    expected = let_in(members, admins, owner, access)[action] & {*PEOPLE, None}
    callers = [Caller(name, members[name], name in admins) for name in PEOPLE]
    found = {
        one.name if one else None
        for one in (None, *callers)
        if is_allowed(one, owner, access, action)
    }
    assert found == expected


def test_a_new_service_is_its_owners() -> None:
    assert is_allowed(Caller("alice"), "alice", PRIVATE, Action.MANAGE)
    assert not is_allowed(Caller("bob", frozenset(["ml"])), "alice", PRIVATE, Action.SEE)
    assert not is_allowed(None, "alice", PRIVATE, Action.CALL)


def test_names_are_kept_once_and_in_order() -> None:
    body = {"users": ["dave", "bob", "dave"], "groups": ["ml"], "public": True}
    found = parse_access(json.dumps(body).encode())
    assert found == Access(("bob", "dave"), ("ml",), public=True)
    assert parse_access(json.dumps(found.to_dict()).encode()) == found
    assert parse_access(b"{}") == PRIVATE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"users": "bob"}',
        b'{"users": [""]}',
        b'{"groups": ["a\\nb"]}',
        b'{"everybody": true}',
        b'{"public": 1}',
        json.dumps({"users": ["x" * 256]}).encode(),
        json.dumps({"groups": [str(number) for number in range(1001)]}).encode(),
    ],
)
def test_what_sets_nothing_sensible_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="Send the access rules"):
        parse_access(body)


async def test_whoever_is_on_a_personal_server_may_do_everything() -> None:
    found = await SingleUserDirectory().find("anybody")
    assert is_allowed(found, "alice", PRIVATE, Action.MANAGE)
