"""Keys in memory: found by their text, narrowed to their services, following the database."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from easymlnb.contract.errors import ApiKeyNotFound, BadRequest, NotReady, StorageBusy
from easymlnb_server.identity.access import Caller, SingleUserDirectory
from easymlnb_server.identity.api_keys import rules
from easymlnb_server.identity.api_keys.keys import ApiKeys
from easymlnb_server.identity.api_keys.models import ApiKey
from easymlnb_server.identity.audit.log import AuditLog
from easymlnb_server.identity.audit.models import AuditEvent
from easymlnb_server.identity.grants import KeyGrant, Scope
from easymlnb_server.identity.limits import NO_LIMITS

ANN = Caller("ann")


class Rows:
    """Rows in memory, which may be unavailable."""

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}
        self.events: list[AuditEvent] = []
        self.used: dict[str, float] = {}
        self.away = False

    def _check(self) -> None:
        if self.away:
            raise StorageBusy

    def changed(self, since: float) -> list[ApiKey]:
        self._check()
        return [key for key in self.keys.values() if key.changed >= since]

    def add(self, key: ApiKey, event: AuditEvent) -> None:
        self._check()
        self.keys[key.id] = key
        self.events.append(event)

    def revoke(self, id: str, now: float, event: AuditEvent) -> None:
        import msgspec

        self._check()
        self.keys[id] = msgspec.structs.replace(self.keys[id], revoked=now, changed=now)
        self.events.append(event)

    def set_used(self, used: Iterable[tuple[str, float]]) -> None:
        self._check()
        self.used |= dict(used)


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.rows = Rows()
        self.keys = ApiKeys(SingleUserDirectory(), AuditLog(), lambda: self.now)

    async def create(self, **changes: Any) -> tuple[ApiKey, str]:
        given = {"services": ("roll",), "scopes": (Scope.CALL,), "limits": NO_LIMITS, **changes}
        return await self.keys.create(ANN, **given)


async def test_keys_live_until_they_expire_or_are_revoked() -> None:
    world = World()
    with pytest.raises(NotReady):
        world.keys.check_open()
    await world.keys.open(world.rows)
    key, text = await world.create(expires=1010.0)
    assert text not in str(world.rows.keys) + str(world.rows.events)
    assert world.keys.find(text) == key
    caller = await world.keys.caller(key)
    assert caller is not None and not caller.admin and caller.key == key.grant
    assert world.keys.find(text + "x") is None and world.keys.find("") is None
    world.now = 1010.0
    assert world.keys.find(text) is None
    other, text = await world.create()
    with pytest.raises(ApiKeyNotFound):
        await world.keys.revoke(other.id, Caller("bob"))
    with pytest.raises(ApiKeyNotFound):
        await world.keys.revoke(other.id, caller)
    await world.keys.revoke(other.id, Caller("root", admin=True))
    assert world.keys.find(text) is None and not world.keys.is_valid(other.id)
    assert [event.action for event in world.rows.events][-1] == "key.revoke"


async def test_keys_answer_while_the_database_is_away_and_follow_it_later() -> None:
    world = World()
    await world.keys.open(world.rows)
    key, text = await world.create()
    world.rows.away = True
    assert world.keys.find(text) == key
    with pytest.raises(StorageBusy):
        await world.keys.refresh()
    with pytest.raises(StorageBusy):
        await world.keys.revoke(key.id, ANN)
    assert world.keys.find(text) == key
    world.rows.away = False
    world.rows.revoke(key.id, world.now + 1, world.rows.events[0])  # another process
    await world.keys.refresh()
    assert world.keys.find(text) is None
    assert world.rows.used == {key.id: 1000.0}
    world.keys.close()
    assert len(world.keys) == 0


def test_a_key_is_dead_when_its_owners_name_is_another_users() -> None:
    world = World()
    row = ApiKey(id="key_1", hash="h", hint="", owner="ann", services=("*",), scopes=(), created=0)
    assert world.keys.as_caller(row, Caller("ann", names=frozenset())) is None
    found = world.keys.as_caller(row, Caller("ann", frozenset(["ml"]), admin=True))
    assert found == Caller("ann", frozenset(["ml"]), key=row.grant)


def test_patterns_of_services() -> None:
    scopes = frozenset(Scope)
    one = KeyGrant("k", frozenset(["ann/roll", "bob/*"]), scopes)
    names = ["ann/roll", "ann/other", "bob/x", "bobby/x", "roll"]
    assert [one.matches(name) for name in names] == [True, False, True, False, False]
    assert KeyGrant("k", frozenset(["*"]), scopes).matches("any/thing")
    assert rules.check_services(["roll", "bob/*", "*", "roll"], "ann", shared=True) == (
        "*", "ann/roll", "bob/*",
    )  # fmt: skip
    for wrong in ([], ["bob/x"], ["x"] * 101):
        with pytest.raises(BadRequest):
            rules.check_services(wrong, "ann", shared=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("30d", 30 * 86400.0),
        ("90", 90.0),
        ("1970-01-02", 2 * 86400 - 1e-6),
        ("1970-01-01T01:00:00Z", 3600.0),
        ("1970-01-01T01:00:00+01:00", "past"),
        ("-5d", "Invalid"),
        ("0s", "past"),
        ("9999-01-01", "days away"),
        ("99999999999d", "days away"),
        ("", "Invalid"),
        ("tomorrow", "Invalid"),
    ],
)
def test_expiry(text: str | None, expected: Any) -> None:
    if isinstance(expected, str):
        with pytest.raises(BadRequest, match=expected):
            rules.expiry(text, 0.0)
    else:
        assert rules.expiry(text, 0.0) == (
            None if expected is None else pytest.approx(expected, abs=1e-3)
        )


async def test_audit_events_wait_for_the_database(tmp_path: Any) -> None:
    class Away:
        def __init__(self) -> None:
            self.events: list[AuditEvent] = []
            self.away = True

        def add(self, event: AuditEvent) -> None:
            if self.away:
                raise StorageBusy
            self.events.append(event)

        def read(self, **asked: Any) -> list[AuditEvent]:
            return self.events

    log, rows = AuditLog(tmp_path / "audit.jsonl"), Away()
    await log.record("service.publish", "a", caller=ANN)
    log.open(rows)
    await log.record("service.publish", "b", details={"x": "y" * 20_000})
    rows.away = False
    await log.record("service.publish", "c")
    assert [event.target for event in await log.read()] == ["a", "b", "c"]
    assert rows.events[0].actor == "ann" and "omitted" in rows.events[1].details
    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert len(lines) == 3
    broken = AuditLog(tmp_path)  # a folder cannot be written
    await asyncio.wait_for(broken.record("service.publish", "d"), 10)
