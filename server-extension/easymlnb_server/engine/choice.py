"""Whose turn it is, and which worker takes it."""

import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.engine.batches import gather
from easymlnb_server.engine.crew import Crew, Member
from easymlnb_server.engine.estimate import Fits
from easymlnb_server.engine.pending import Pending, Run


class Choice:
    """Looks at lines in the order of their turns, until one has calls that may go.

    ``found`` is the worker for those.
    """

    def __init__(self, crew: Crew, fits: Fits) -> None:
        self._crew = crew
        self._fits = fits
        self._runs: Counter[str] = Counter()
        self.renew()

    def renew(self) -> None:
        """Begin with the first line again."""
        self.found: Member | None = None
        # Nothing is sent ahead past one whose turn it is and who needs a free worker: workers
        # that always hold something would never be free.
        self._ahead = True

    def began(self, service: str) -> None:
        """A run of this service was sent."""
        self._runs[service] += 1

    def ended(self, run: Run) -> None:
        """A run is over: its place, if it has one, is another's."""
        self._runs[run.service] -= 1
        if run.leave is not None:
            run.leave(run)

    def place(self, service: str, spec: ServiceSpec, *, ahead: bool = True) -> Member | None:
        """Return who takes a run of this service now; ``ahead`` says that it may wait there."""
        if self._is_full(service, spec):
            return None
        return self._crew.find(service, spec, self._fits.of(service).seconds(1) if ahead else 0.0)

    def look(self, line: Iterator[Pending]) -> int:
        """Return how many of the first calls in a line go now."""
        first = next(line)
        service, spec = first.call.service, first.spec
        ahead = self._ahead and isinstance(first.body, bytes)
        self.found = self.place(service, spec, ahead=ahead)
        if self.found is not None:
            if spec.batch is None:
                return 1
            calls = chain((first,), line)
            return gather(calls, spec.batch, self._fits.of(service), time.monotonic())
        on_main = spec.concurrency == 1 and first.ripe
        self._ahead = self._ahead and not (on_main and not self._is_full(service, spec))
        return 0

    def _is_full(self, service: str, spec: ServiceSpec) -> bool:
        return 0 < spec.max_concurrent <= self._runs[service]
