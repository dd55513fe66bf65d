"""Changes of traffic and steps of promotions are whole or absent after ``kill -9``."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.store.store import Store
from easymlnb_server.traffic.promotions import PromotionState

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("EASYMLNB_TEST_KILLS", "3"))
"""Kills per database. A long run takes 200."""

VERSIONS = (1, 2, 3)

CHILD = """
import random, sys
from pathlib import Path
from msgspec.structs import replace
from easymlnb_server.store.store import Store
from easymlnb_server.traffic.models import Shadow, Traffic
from easymlnb_server.traffic.promotions import AbortIf, Promotion, PromotionState

store, chance = Store.open(sys.argv[1], Path(sys.argv[2])), random.Random(sys.argv[3])
number = int(sys.argv[4])

def change(traffic, promotion=None):
    (record,) = store.services.records(["f"])
    stored = store.traffic.set("f", traffic, record.revision, promotion)
    assert stored is not None
    print("changed", stored.revision, flush=True)
    return stored.revision

while True:
    number += 1
    first, second, third = chance.sample([1, 2, 3], 3)
    percent = chance.randint(1, 99)
    change(Traffic(
        weights={first: percent, second: 100 - percent}, aliases={"candidate": third},
        shadow=Shadow(third, percent / 100), history=(first,),
    ))
    promotion = Promotion(
        id=f"{number:032x}", service="f", version=second, base=first,
        steps=(5.0, 50.0, 100.0), every=1.0, abort_if=AbortIf(),
    )
    for step in range(3):
        promotion = replace(promotion, step=step)
        share = promotion.percent
        weights = {second: share, first: 100 - share} if share < 100 else {second: 100.0}
        revision = change(Traffic(weights=weights, history=(first,)), promotion)
        promotion = replace(promotion, revision=revision)
    done = chance.choice([PromotionState.DONE, PromotionState.ABORTED])
    store.promotions.put(replace(promotion, state=done))
    print("ended", promotion.id, flush=True)
"""


def test_traffic_survives_kills(database_url: str, tmp_path: Path) -> None:
    store = Store.open(database_url, tmp_path)
    for number in VERSIONS:
        store.bundles.add(f"b{number}", owner="ann", manifest={}, file="f" * 64)
        spec = ServiceSpec(name="f", title="F", input={"type": "object"}, output={})
        store.services.publish(f"b{number}", [spec], owner="ann")
    store.close()
    chance = random.Random(7)
    for turn in range(KILLS):
        command = [sys.executable, "-c", CHILD, database_url, str(tmp_path), str(turn)]
        command.append(str(1000 * turn))
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(chance.randint(1, 12))]
        child.kill()
        # `communicate` would lose what `readline` has read ahead.
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait(60)
        told = [line.split() for line in lines if line.endswith("\n")]
        check(database_url, tmp_path, told)


def check(url: str, folder: Path, told: list[list[str]]) -> None:
    """Compare what is stored with what a killed process acknowledged."""
    store = Store.open(url, folder)
    try:
        (record,) = store.services.records(["f"])
        changed = [int(number) for word, number in told if word == "changed"]
        assert record.revision - changed[-1] in (0, 1)
        assert sum(record.traffic.weights.values()) == 100
        active = store.promotions.active()
        ended = {id for word, id in told if word == "ended"}
        assert not ended & {one.id for one in active}
        assert len(active) <= 1
        for one in active:  # its step and the traffic are one transaction
            assert one.revision == record.revision
            assert record.traffic.weights[one.version] == one.percent
            store.promotions.put(replace(one, state=PromotionState.CANCELED))
    finally:
        store.close()
