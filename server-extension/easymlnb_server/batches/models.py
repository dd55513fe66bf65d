"""Batches: what was submitted, and how far a batch is."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from easymlnb.contract.batch_protocol import RowError


class BatchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a batch is run; stored as the body of its job.

    - ``names``: the file names of the table, or of the files that are its rows
    - ``media_type``: that of the table, empty if unknown
    - ``values``: parameters that are the same for all rows
    - ``keep``: whether columns that are no parameters are copied to the result
    """

    names: tuple[str, ...] = ()
    media_type: str = ""
    values: dict[str, Any] = {}
    keep: bool = False


@dataclass(slots=True)
class StoredBlock:
    """Rows of a table in one stored file; ``first`` rows are before them.

    ``done`` rows have their results.
    """

    number: int
    first: int
    rows: int
    file: str
    done: int = 0


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A stored file with the results of rows of a block."""

    block: int
    start: int
    stop: int
    failed: int
    file: str


class Part(msgspec.Struct, kw_only=True):
    """The content of that file: what workers returned for consecutive rows."""

    pieces: list[bytes]
    files: list[tuple[str, bytes]]
    errors: list[RowError]


@dataclass(slots=True)
class BatchProgress:
    """How far a batch is. ``plan`` and ``header`` are the names of stored files."""

    plan: str = ""
    kind: str = ""
    header: str = ""
    position: int = 0
    complete: bool = False
    share: float = 0.0
    blocks: list[StoredBlock] = field(default_factory=list)
    failed: int = 0

    @property
    def rows(self) -> int:
        """The number of rows that were read so far."""
        return self.blocks[-1].first + self.blocks[-1].rows if self.blocks else 0

    @property
    def done(self) -> int:
        """The number of rows that have their results."""
        return sum(block.done for block in self.blocks)

    def shown(self) -> tuple[float, str]:
        """Return the fraction that is done, and a text for people."""
        done, failed = self.done, f", {self.failed:,} failed" if self.failed else ""
        if self.complete:
            return done / max(1, self.rows), f"{done:,} of {self.rows:,} rows{failed}"
        expected = self.rows / self.share if self.share else 0
        fraction = min(0.99, done / expected) if expected else 0.0
        return fraction, f"{done:,} of about {expected:,.0f} rows{failed}"
