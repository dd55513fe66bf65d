"""API keys that were created or revoked stay so after ``kill -9``, with their audit events."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from easymlnb_server.store.store import Store

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("EASYMLNB_TEST_KILLS", "3"))
"""Kills per database. A long run takes 200."""

CHILD = """
import asyncio, sys
from pathlib import Path
from easymlnb_server.identity.access import Caller, SingleUserDirectory
from easymlnb_server.identity.api_keys.keys import ApiKeys
from easymlnb_server.identity.audit.log import AuditLog
from easymlnb_server.identity.grants import Scope
from easymlnb_server.identity.limits import NO_LIMITS
from easymlnb_server.store.store import Store

async def main():
    store = Store.open(sys.argv[1], Path(sys.argv[2]))
    keys, ann = ApiKeys(SingleUserDirectory(), AuditLog()), Caller("ann")
    await keys.open(store.api_keys)
    while True:
        key, _ = await keys.create(
            ann, services=("roll",), scopes=(Scope.CALL,), limits=NO_LIMITS
        )
        print("created", key.id, flush=True)
        await keys.revoke(key.id, ann)
        print("revoked", key.id, flush=True)

asyncio.run(main())
"""


def test_keys_survive_kills(database_url: str, tmp_path: Path) -> None:
    Store.open(database_url, tmp_path).close()
    chance = random.Random(7)
    acknowledged: dict[str, set[str]] = {"created": set(), "revoked": set()}
    for _ in range(KILLS):
        command = [sys.executable, "-c", CHILD, database_url, str(tmp_path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(chance.randint(1, 12)):
            word, id = child.stdout.readline().split()
            acknowledged[word].add(id)
        child.kill()
        rest = child.stdout.read()  # `communicate` would lose what `readline` has read ahead
        child.stdout.close()
        child.wait(60)
        for line in rest.splitlines():
            word, _, id = line.partition(" ")
            if line.count(" ") == 1 and len(id) == 20:
                acknowledged[word].add(id)
    store = Store.open(database_url, tmp_path)
    keys = store.api_keys.changed(0)
    events = store.audit.read(after=0, limit=10_000, names=None, action="", target="")
    store.close()
    assert acknowledged["created"] <= {key.id for key in keys}
    assert acknowledged["revoked"] <= {key.id for key in keys if key.revoked is not None}
    # What was not acknowledged is whole or absent: a row and its event are one transaction.
    for action, wanted in (
        ("key.create", keys),
        ("key.revoke", [key for key in keys if key.revoked is not None]),
    ):
        recorded = [event.target for event in events if event.action == action]
        assert sorted(recorded) == sorted(key.id for key in wanted)
