"""Totals of calls."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

VISITOR = "(visitor)"
"""The user of calls without a login; no user of a Hub has such a name."""

Key = tuple[str, str, str, str, str]
"""Day, service, version, user, and the id of an API key or an empty text."""


class Totals(msgspec.Struct, kw_only=True):
    """Totals of calls; ``errors`` are among the ``calls``."""

    calls: int = 0
    errors: int = 0
    compute_seconds: float = 0.0
    gpu_seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, other: "Totals") -> None:
        """Add other totals to these."""
        self.calls += other.calls
        self.errors += other.errors
        self.compute_seconds += other.compute_seconds
        self.gpu_seconds += other.gpu_seconds
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out


class UsageRows(Protocol):
    """Stores totals; methods block."""

    def put(self, totals: Iterable[tuple[Key, Totals]]) -> None:
        """Replace totals."""

    def read(
        self, *, since: str, until: str, service: str = "", key: str = ""
    ) -> list[tuple[Key, Totals]]:
        """Return the totals of the days from ``since`` to ``until``."""

    def forget(self, *, before: str) -> None:
        """Delete the totals of earlier days."""
