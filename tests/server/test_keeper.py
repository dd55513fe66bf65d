"""When a process takes over what others left, by its own clock."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import in_loop

from easymlnb.contract.errors import StorageBusy
from easymlnb_server.cluster.keeper import SETTLED, Keeper
from easymlnb_server.store.leases import View

LEASE = 8.0


class Leases:
    """A database that is there or not; it notes who said to be settled."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock
        self.away = False
        self.settled: list[bool] = []

    def join(self, mark: str, address: str, seconds: float, *, secret: str) -> str:
        return f"{mark}.1"

    def turn(self, holder: str, seconds: float, *, settled: bool, **more: Any) -> View:
        if self.away:
            raise StorageBusy
        self.settled.append(settled)
        return View(holder, self.clock[0], {}, {}, frozenset(), ())


class Published:
    """Nothing is published."""

    view = None
    released: frozenset[str] = frozenset()
    changes = 0

    def begin(self, store: Any) -> None:
        pass

    def prepared(self) -> list[str]:
        return []

    def states(self) -> dict[str, str]:
        return {}

    def release(self) -> bool:
        return False

    def follow(self, *what: Any) -> None:
        pass


@in_loop
async def test_who_had_no_turn_for_long_leaves_to_others_what_was_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    leases = Leases(clock)
    store: Any = SimpleNamespace(leases=leases, services=SimpleNamespace(serving=dict))
    publications: Any = Published()
    keeper = Keeper(
        publications, folder=tmp_path, address="a", seconds=LEASE, clock=lambda: clock[0]
    )
    await keeper.open(store)

    async def turns(seconds: float) -> bool:
        """Have one each second; says whether it was settled at the last."""
        for _ in range(int(seconds)):
            clock[0] += 1
            await keeper.look()
        return leases.settled[-1]

    assert not await turns(SETTLED)
    assert await turns(1)
    clock[0] += LEASE / 2 - 1
    assert await turns(1)
    leases.away = True
    await turns(LEASE)
    assert keeper.away and keeper.passed
    leases.away = False
    assert not await turns(1)
    assert not keeper.passed
    assert not await turns(SETTLED)
    assert await turns(1)
