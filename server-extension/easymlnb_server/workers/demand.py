"""For what a deployment has workers: calls that arrive, or traffic that it is going to get."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.workers.autoscaler import ScalingLimits
from easymlnb_server.workers.circuit_breaker import CircuitBreaker


class Demand:
    """Whether traffic goes to a deployment, and who waits for its first worker.

    Parameters
    ----------
    dispatcher, breaker
        The deployment's dispatcher and circuit breaker.
    on_change
        Applies the limits again.

    Attributes
    ----------
    serving
        Whether traffic goes to the deployment. Without it, only calls that pin a version start
        workers.
    resting
        Whether there should be no worker until the next call.
    """

    def __init__(
        self, dispatcher: Dispatcher, breaker: CircuitBreaker, on_change: Callable[[], None]
    ) -> None:
        self.serving = True
        self.resting = False
        self._dispatcher = dispatcher
        self._breaker = breaker
        self._on_change = on_change
        self._warming = 0
        self._failure: EasyMLNBError | None = None
        self._changed = asyncio.Event()

    def limits(self, specs: Iterable[ServiceSpec]) -> ScalingLimits:
        """Return the limits of a deployment with these services."""
        limits = ScalingLimits.from_specs(specs)
        if self._warming:
            return replace(limits, min_workers=max(1, limits.min_workers))
        if self.resting:
            return replace(limits, min_workers=0, idle_timeout=0.0)
        return limits if self.serving else replace(limits, min_workers=0)

    def rest(self) -> None:
        """End all workers once their calls have ended; the next call starts one again."""
        self.resting = True
        self._on_change()

    def count_calls(self) -> int:
        """Return the number of calls; one that waits ends a rest."""
        if self.resting and self._dispatcher.waiting:
            self.resting = False
            self._on_change()
        return self._dispatcher.waiting + self._dispatcher.running

    @asynccontextmanager
    async def kept_warm(self) -> AsyncIterator[None]:
        """Have at least one worker, from a start that is tried at once."""
        self._warming += 1
        self.resting = False
        self._failure = None
        if not self._dispatcher.workers:
            self._breaker.retry_now()
        self._on_change()
        try:
            yield
        finally:
            self._warming -= 1
            self._on_change()

    async def wait_ready(self) -> None:
        """Return when there is a worker; raises why the latest start failed."""
        while not self._dispatcher.workers:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()

    def notify(self, failure: EasyMLNBError | None = None) -> None:
        """Note that a worker is ready, or that a start failed."""
        if failure is not None:
            self._failure = failure
        self._changed.set()
