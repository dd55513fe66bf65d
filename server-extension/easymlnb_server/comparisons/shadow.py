"""Compare the answers of shadow calls with the rules of comparisons."""

import asyncio
import base64
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import msgspec

from easymlnb_server.comparisons.findings import Outcome, ResultFinding
from easymlnb_server.comparisons.models import ShadowDifference, ShadowSummary
from easymlnb_server.comparisons.rules import compare
from easymlnb_server.recordings.inputs import media_type
from easymlnb_server.traffic.shadow import ShadowOutcome

MAX_WAITING, MAX_WAITING_BYTES = 100, 32 * 2**20
"""Outcomes, and bytes of outcomes, that wait to be compared; more are dropped and counted."""

MAX_PAIRS = 1000
"""Pairs of versions whose outcomes are counted."""

RECENT = 200
"""Calls that the medians include."""

KEPT = 20
"""Differences that are shown."""


@dataclass(slots=True)
class _Pair:
    """What is known of one version and its shadow."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    shadow_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    recent: deque[ShadowDifference] = field(default_factory=lambda: deque(maxlen=KEPT))
    dropped: int = 0


class ShadowComparisons:
    """Compares what a version and its shadow answered; a ``ShadowSink``.

    Counts are kept in memory, since the server's start.
    """

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str, str], _Pair] = OrderedDict()
        self._queue: deque[ShadowOutcome] = deque()
        self._bytes = 0
        self._waiting = asyncio.Event()

    def add(self, outcome: ShadowOutcome) -> None:
        """Take one outcome; it is compared in the background."""
        size = _size(outcome)
        if len(self._queue) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES:
            self._pair(outcome).dropped += 1
            return
        self._queue.append(outcome)
        self._bytes += size
        self._waiting.set()

    async def run(self) -> None:
        """Compare outcomes as they come."""
        while True:
            while not self._queue:
                self._waiting.clear()
                await self._waiting.wait()
            outcome = self._queue.popleft()
            self._bytes -= _size(outcome)
            found, finding = await asyncio.to_thread(compare_outcome, outcome)
            self._count(outcome, found, finding)

    def of(self, service: str) -> list[ShadowSummary]:
        """Return what is known of a service's shadows."""
        return [
            ShadowSummary(
                version=version,
                shadow=shadow,
                outcomes=dict(pair.outcomes),
                p50=median(pair.seconds) if pair.seconds else None,
                shadow_p50=median(pair.shadow_seconds) if pair.shadow_seconds else None,
                dropped=pair.dropped,
                recent=list(pair.recent),
            )
            for (name, version, shadow), pair in self._pairs.items()
            if name == service
        ]

    def _pair(self, outcome: ShadowOutcome) -> _Pair:
        key = outcome.service, outcome.version, outcome.shadow_version
        pair = self._pairs.setdefault(key, _Pair())
        self._pairs.move_to_end(key)
        while len(self._pairs) > MAX_PAIRS:
            self._pairs.popitem(last=False)
        return pair

    def _count(self, outcome: ShadowOutcome, found: Outcome, finding: ResultFinding) -> None:
        pair = self._pair(outcome)
        pair.outcomes[found] += 1
        if not outcome.error:
            pair.seconds.append(outcome.seconds)
        if not outcome.shadow_error:
            pair.shadow_seconds.append(outcome.shadow_seconds)
        if found in ("different", "failed"):
            pair.recent.append(
                ShadowDifference(
                    request_id=outcome.request_id,
                    error=outcome.error,
                    shadow_error=outcome.shadow_error,
                    differences=finding.differences,
                )
            )


def compare_outcome(outcome: ShadowOutcome) -> tuple[Outcome, ResultFinding]:
    """Compare two answers; runs in a thread."""
    if outcome.error or outcome.shadow_error:
        # The same error is the same answer.
        same = outcome.error == outcome.shadow_error
        return ("equal" if same else "failed"), ResultFinding()
    if outcome.answer == outcome.shadow_answer:
        return "equal", ResultFinding()
    finding = compare(
        _value(outcome.answer, outcome.media_type),
        _value(outcome.shadow_answer, outcome.shadow_media_type),
    )
    return finding.outcome, finding


def _value(body: bytes, content_type: str) -> Any:
    """Return an answer as JSON; other media types as a file."""
    kind = media_type(content_type)
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return msgspec.json.decode(body) if body else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return {"b64": base64.b64encode(body).decode(), "media_type": kind}


def _size(outcome: ShadowOutcome) -> int:
    return len(outcome.body) + len(outcome.answer) + len(outcome.shadow_answer)
