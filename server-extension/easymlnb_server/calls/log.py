"""The last calls of each service, for its author: outcome, duration, prints, traceback.

Kept in memory and bounded: inputs and results are never in it.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from easymlnb.contract.errors import CallCancelled
from easymlnb.contract.worker_protocol import Failure, Result

KEPT = 200
"""Calls kept per service."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call that ended. ``seconds`` is the time in the worker; ``status`` the HTTP status.

    ``code`` is that of its error; empty when it was answered. ``entry`` is how it came in, and
    ``models`` are the models that it used.
    """

    request_id: str
    version: str
    status: int
    seconds: float
    log: str = ""
    trace: str = ""
    code: str = ""
    entry: str = "http"
    models: str = ""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    @property
    def outcome(self) -> Literal["answered", "stopped", "error"]:
        """Return ``"answered"``, ``"error"``, or ``"stopped"`` if the caller stopped it or left."""
        if self.status < 400:
            return "answered"
        return "stopped" if self.code == CallCancelled.code else "error"


class CallLog:
    """The last ``KEPT`` calls per service name."""

    def __init__(self) -> None:
        self._entries: defaultdict[str, deque[CallRecord]] = defaultdict(lambda: deque(maxlen=KEPT))

    def add(self, name: str, entry: CallRecord) -> None:
        self._entries[name].append(entry)

    def amend(self, name: str, request_id: str, ended: Result | Failure) -> None:
        """Add what a call printed that was answered before it ended."""
        entries = self._entries.get(name, deque[CallRecord]())
        for number in reversed(range(len(entries))):
            if entries[number].request_id == request_id:
                entries[number] = replace(
                    entries[number], log=ended.log, seconds=round(ended.seconds, 6)
                )
                return

    def of(self, name: str) -> list[CallRecord]:
        """Return a service's calls, newest last."""
        return list(self._entries.get(name, ()))

    def last(self, name: str) -> str:
        """Return the time of a service's last call; empty when there was none."""
        entries = self._entries.get(name)
        return entries[-1].time if entries else ""

    def forget(self, name: str) -> None:
        self._entries.pop(name, None)
