"""An active process while its database is away: with a standby it stops, alone it answers."""

import asyncio
from typing import Any, cast

import pytest

from easymlnb.contract.errors import NotReady, StorageBusy
from easymlnb_server.cluster.membership import Membership
from easymlnb_server.store.lease import Lease, LeaseLost


class FakeLease:
    """A lease whose database can be away."""

    seconds = 10.0
    has_standbys = False

    def __init__(self) -> None:
        self.error: Exception | None = None

    def acquire(self) -> bool:
        return self.error is None

    def renew(self) -> None:
        if self.error is not None:
            raise self.error


async def nothing() -> None:
    """Start or stop nothing."""


def made(clock: list[float]) -> tuple[Membership, FakeLease]:
    lease = FakeLease()
    return Membership(cast("Lease", lease), nothing, nothing, lambda: clock[0]), lease


@pytest.mark.parametrize("standbys", [False, True])
def test_without_a_database_only_a_process_that_is_alone_answers(standbys: bool) -> None:
    clock = [0.0]
    membership, lease = made(clock)
    step: Any = membership._step

    async def work() -> None:
        await step()
        lease.has_standbys = standbys
        lease.error = StorageBusy()
        await step()
        membership.check()
        clock[0] = 1000.0
        await step()
        if standbys:
            with pytest.raises(NotReady):
                membership.check()
        else:
            membership.check()
        lease.error = None
        await step()
        membership.check()
        lease.error = LeaseLost()
        clock[0] = 2000.0
        await step()
        with pytest.raises(NotReady):
            membership.check()

    asyncio.run(work())


def test_a_paused_process_does_not_answer_before_it_has_renewed_its_lease() -> None:
    clock = [0.0]
    membership, _ = made(clock)
    asyncio.run(membership._step())
    clock[0] = 1000.0
    with pytest.raises(NotReady):
        membership.check()
    asyncio.run(membership._step())
    membership.check()
