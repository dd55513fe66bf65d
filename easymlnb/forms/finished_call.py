"""A call of a form that has ended."""

import time
from dataclasses import dataclass, field
from typing import Any

from easymlnb.forms.call_protocol import Failed, Part, Succeeded
from easymlnb.forms.result_panel import KEPT_ITEMS


@dataclass(slots=True)
class FinishedCall:
    """A call with its input and outcome, for the history of a page.

    ``items`` are the last elements of a stream, ``count`` is the number of all.
    """

    values: dict[str, Any]
    started: float = 0.0
    seconds: float = 0.0
    event: Succeeded | Failed = field(default_factory=Succeeded)
    items: list[list[Part]] = field(default_factory=list)
    count: int = 0

    def add_items(self, items: list[list[Part]]) -> bool:
        """Append elements of a stream; return whether these were the first."""
        first = bool(items) and not self.count
        self.count += len(items)
        self.items = [*self.items, *items][-KEPT_ITEMS:]
        return first

    def finish(self, event: Succeeded | Failed) -> None:
        """Record the outcome and the duration."""
        self.event = event
        self.seconds = time.monotonic() - self.started
