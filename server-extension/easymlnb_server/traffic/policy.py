"""How the calls of a service are divided among its versions. Pure functions and records."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """All calls of a service go to ``primary``, the number of one of its versions."""

    primary: int

    def choose(self) -> int:
        """Return the number of the version that answers the next call."""
        return self.primary
