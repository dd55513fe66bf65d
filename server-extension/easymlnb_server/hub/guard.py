"""Start workers only for the user that the service knows by a name."""

from collections.abc import Awaitable, Callable

from easymlnb.contract.resources import Gpu
from easymlnb_server.placement.base import Placement, Reservation, StartedKernel, WorkerOrder


class Guarded:
    """A placement that asks before each start; ``check`` raises what to say instead."""

    def __init__(self, placement: Placement, check: Callable[[], Awaitable[None]]) -> None:
        self._placement = placement
        self._check = check

    def offers(self, gpu: Gpu) -> bool:
        return self._placement.offers(gpu)

    def reserve(self, gpu: Gpu) -> Reservation | None:
        return self._placement.reserve(gpu)

    def release(self, reservation: Reservation) -> None:
        self._placement.release(reservation)

    async def freed(self) -> None:
        await self._placement.freed()

    async def start(self, order: WorkerOrder) -> StartedKernel:
        try:
            await self._check()
        except BaseException:
            self._placement.release(order.reservation)
            raise
        return await self._placement.start(order)
