"""Compare the answers of a version with those of a shadow, which gets copies of calls."""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import msgspec

MOST_PAIRS = 1000
"""Pairs of versions whose agreement is counted."""


@dataclass(frozen=True, slots=True)
class ShadowOutcome:
    """A call that two versions answered.

    - ``service``, ``request_id``: what was called, and the ID of the caller's request
    - ``body``, ``content_type``: the arguments as they were sent
    - ``version``, ``answer``, ``media_type``, ``error``, ``seconds``: the version that answered the
      caller, its result and media type or the code of its error, and how long the call took
    - ``shadow_...``: the same of the copy
    """

    service: str
    request_id: str
    body: bytes
    content_type: str
    version: str
    answer: bytes
    media_type: str
    error: str
    seconds: float
    shadow_version: str
    shadow_answer: bytes
    shadow_media_type: str
    shadow_error: str
    shadow_seconds: float

    @property
    def agrees(self) -> bool:
        """Whether both answers are the same bytes, or the same error."""
        return (self.error, sha256(self.answer).digest()) == (
            self.shadow_error,
            sha256(self.shadow_answer).digest(),
        )


class ShadowSink(Protocol):
    """Receives the outcomes of shadow calls, on the event loop; it must not block or raise."""

    def add(self, outcome: ShadowOutcome) -> None:
        """Take one outcome."""


class Agreement(msgspec.Struct, kw_only=True):
    """How often a shadow gave the same answer as the version that served the caller."""

    calls: int = 0
    same: int = 0
    different: int = 0
    failed: int = 0
    seconds: float = 0.0
    shadow_seconds: float = 0.0


class AgreementCounter:
    """Counts by service, version and shadow how often answers are the same bytes."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str, str], Agreement] = OrderedDict()

    def add(self, outcome: ShadowOutcome) -> None:
        key = outcome.service, outcome.version, outcome.shadow_version
        count = self._counts.setdefault(key, Agreement())
        self._counts.move_to_end(key)
        while len(self._counts) > MOST_PAIRS:
            self._counts.popitem(last=False)
        count.calls += 1
        count.seconds += outcome.seconds
        count.shadow_seconds += outcome.shadow_seconds
        if outcome.agrees:
            count.same += 1
        elif outcome.shadow_error and not outcome.error:
            count.failed += 1
        else:
            count.different += 1

    def of(self, service: str) -> dict[tuple[str, str], Agreement]:
        """Return the counts of a service by version and shadow."""
        return {key[1:]: count for key, count in self._counts.items() if key[0] == service}


class ShadowSinks:
    """Gives each outcome to several sinks."""

    def __init__(self, *sinks: ShadowSink) -> None:
        self._sinks = list(sinks)

    def register(self, sink: ShadowSink) -> None:
        """Give the outcomes to one more sink."""
        self._sinks.append(sink)

    def add(self, outcome: ShadowOutcome) -> None:
        for sink in self._sinks:
            sink.add(outcome)
