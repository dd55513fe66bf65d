"""Rights go with the person, not with the name."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from easymlnb.contract.errors import NotReady
from easymlnb_server.hub.name_registry import NameRegistry
from easymlnb_server.hub.users import HubUser, HubUsers
from easymlnb_server.identity.access import PRIVATE, Access, Action, Caller, is_allowed
from easymlnb_server.placement.base import WorkerOrder
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.placement import HubPlacement
from easymlnb_server.placement.hub.profiles import PlacementProfile
from easymlnb_server.placement.hub.tokens import UserTokens
from easymlnb_server.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.open("", tmp_path)
    yield made
    made.close()


@pytest.fixture
def register(store: Store) -> NameRegistry:
    made = NameRegistry()
    made.open(store.people)
    return made


def caller(register: NameRegistry, name: str, identity: str) -> Caller:
    asyncio.run(register.bind(name, identity))
    return Caller(name, names=register.names(name, identity))


def test_a_newcomer_with_an_old_name_has_nothing_of_the_formers(register: NameRegistry) -> None:
    former = caller(register, "alice", "A")
    renamed, newcomer = caller(register, "alice2", "A"), caller(register, "alice", "B")
    shared = Access(users=("alice",))
    for action in Action:
        assert is_allowed(former, "alice", PRIVATE, action)
        assert is_allowed(renamed, "alice", PRIVATE, action)
        assert not is_allowed(newcomer, "alice", PRIVATE, action)
    assert is_allowed(renamed, "bob", shared, Action.CALL)
    assert not is_allowed(newcomer, "bob", shared, Action.CALL)
    assert not newcomer.owns("alice")
    # What is for a group or for everybody is for them as well.
    assert is_allowed(newcomer, "bob", Access(everyone=True), Action.CALL)


def test_where_the_hub_tells_nobody_apart_names_count(register: NameRegistry) -> None:
    assert caller(register, "bob", "").owns("bob")
    caller(register, "alice", "A")
    assert not caller(register, "alice", "").owns("alice")


def test_another_process_and_the_next_one_know_it(register: NameRegistry, store: Store) -> None:
    caller(register, "alice", "A")
    other = NameRegistry()
    other.open(store.people)
    assert not caller(other, "alice", "B").owns("alice")
    assert other.belongs("alice", "A") and not other.belongs("alice", "B")


@pytest.mark.parametrize(
    ("model", "identity"),
    [
        ({"created": "2026-01-02T03:04:05.678Z"}, "2026-01-02T03:04:05.678Z"),
        ({"created": None}, "before 2018"),
        ({}, ""),
    ],
)
def test_identity_is_since_when_the_hub_knows_somebody(
    model: dict[str, object], identity: str
) -> None:
    found = HubUser.from_model({"kind": "user", "name": "alice", **model})
    assert found is not None and found.identity == identity


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (HubUser("alice", identity="A"), ""),
        (HubUser("alice", identity="B"), "the name was reused.*hub transfer alice NEW"),
        (None, "no longer has a user 'alice'.*hub remove-user alice"),
    ],
)
def test_workers_start_for_whom_the_service_knows(
    register: NameRegistry, now: HubUser | None, said: str, tmp_path: Path
) -> None:
    async def fetch(name: str) -> HubUser | None:
        return now

    async def start() -> None:
        await register.bind("alice", "A")
        members = HubUsers("http://127.0.0.1:1", "token", 30.0)
        members.register, members.fetch = register, fetch  # type: ignore[method-assign]
        placement = HubPlacement(
            "gpu",
            PlacementProfile(),
            HubCredentials(),
            tmp_path,
            check=lambda: members.check_start("alice"),
        )
        reservation = placement.reserve(0)
        assert reservation is not None and placement.reserve(0) is None
        order = WorkerOrder("w", "python3", tmp_path, "secret", reservation)
        try:
            await members.check_start("alice") if not said else await placement.start(order)
        finally:
            await members.close()
            assert (placement.reserve(0) is None) is not bool(said)

    if said:
        with pytest.raises(NotReady, match=said):
            asyncio.run(start())
    else:
        asyncio.run(start())


def test_a_token_of_one_user_is_not_used_for_another_of_that_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who, made = {"alice": "A"}, []
    tokens = UserTokens(HubCredentials(api_url="http://hub/api"), who.__getitem__)

    def make(user: str) -> str:
        made.append(who[user])
        return f"token of {who[user]}"

    monkeypatch.setattr(tokens, "_request", make)
    assert tokens.get("alice") == tokens.get("alice") == "token of A"
    who["alice"] = "B"
    assert tokens.get("alice") == "token of B"
    assert made == ["A", "B"]
    tokens.close()
