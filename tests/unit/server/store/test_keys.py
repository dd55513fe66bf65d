"""API keys, usage, limits and the audit log in the store."""

import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from easymlnb_server.identity.api_keys.models import ApiKey
from easymlnb_server.identity.audit.models import AuditEvent
from easymlnb_server.identity.grants import Scope
from easymlnb_server.identity.limits import Limits
from easymlnb_server.identity.usage.models import Totals
from easymlnb_server.store.store import Store

KEY = ApiKey(
    id="key_0123456789abcdef",
    hash="a" * 64,
    hint="emnb_abcd",
    owner="alice",
    services=("alice/roll", "bob/*"),
    scopes=(Scope.CALL, Scope.READ),
    limits=Limits(calls_per_second=2.5, concurrent=3),
    note="it's a 'shop'",
    created=100.0,
    expires=200.5,
    changed=100.0,
)


def event(action: str, target: str = KEY.id, **changes: str) -> AuditEvent:
    return AuditEvent(time=1.5, action=action, target=target, **changes)  # type: ignore[arg-type]


def test_rows_of_keys_usage_limits_and_audit(database_url: str, tmp_path: Path) -> None:
    store = Store.open(database_url, tmp_path)
    try:
        keys, audit = store.api_keys, store.audit
        for _ in range(2):  # a broken connection repeats a write
            keys.add(KEY, event("key.create", actor="alice"))
        assert keys.changed(0) == [KEY]
        keys.set_used([(KEY.id, 150.0), ("key_gone", 1.0)])
        for now in (170.0, 180.0):
            keys.revoke(KEY.id, now, event("key.revoke", actor="root", owner="alice"))
        assert keys.changed(160.0)[0].revoked == 170.0
        assert (keys.changed(160.0)[0].used, keys.changed(171.0)) == (150.0, [])
        audit.add(event("service.share", "bob/x", actor="bob"))
        audit.add(event("service.share", "bob/x", actor="bob"))
        everything = audit.read(after=0, limit=10, names=None, action="", target="")
        assert [one.action for one in everything] == ["key.create", "key.revoke", "service.share"]
        alice = audit.read(after=0, limit=10, names=frozenset(["alice"]), action="", target="")
        assert alice == everything[:2]
        later = audit.read(after=everything[0].id, limit=1, names=None, action="", target="")
        assert later == everything[1:2]
        # A later user of a name does not read the events of an earlier one.
        store.people.remove("alice")
        own = AuditEvent(time=time.time() + 1, action="key.create", target="k", actor="alice")
        audit.add(own)
        names = frozenset(["alice", "bob"])
        read = audit.read(after=0, limit=10, names=names, action="", target="")
        assert [one.target for one in read] == ["bob/x", "k"]
        for statement in ("DELETE FROM audit", "UPDATE audit SET actor = 'x'"):
            with pytest.raises(DBAPIError, match="append-only"):
                store.database.write(
                    lambda connection, statement=statement: connection.execute(text(statement))
                )
        usage, place = store.call_usage, ("2026-01-02", "alice/roll", "3", "bob", KEY.id)
        usage.put([(place, Totals(calls=1, bytes_in=2**40))])
        usage.put([(place, Totals(calls=2, compute_seconds=0.5, bytes_in=2**41))])
        found = usage.read(since="2026-01-01", until="2026-01-02", key=KEY.id)
        assert found == [(place, Totals(calls=2, compute_seconds=0.5, bytes_in=2**41))]
        assert usage.read(since="2026-01-01", until="2026-01-02", service="other") == []
        usage.forget(before="2026-01-03")
        assert usage.read(since="2026-01-01", until="2026-01-02") == []
        limits = store.service_limits
        limits.put("roll", {"all": {"concurrent": 1}})
        limits.put("roll", {"all": {"concurrent": 2}})
        assert limits.all() == {"roll": {"all": {"concurrent": 2}}}
        limits.put("roll", {})
        assert limits.all() == {}
    finally:
        store.close()
