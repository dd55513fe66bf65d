"""How the calls of a service are divided among its versions. Pure functions and records."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate

from easymlnb_server.traffic.models import CALLER, HEADER, Traffic

_POINTS = 2.0**64


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """Chooses the version that answers a call.

    Attributes
    ----------
    primary
        The number of the version with the most traffic, which describes the service.
    divided
        Whether more than one version answers calls.
    traffic
        The weights, aliases, shadow and history.
    revision
        Grows with each change of the traffic.
    """

    primary: int
    divided: bool
    traffic: Traffic
    revision: int
    _numbers: tuple[int, ...]
    _bounds: tuple[float, ...]
    _seeds: tuple[tuple[bytes, float], ...]

    @classmethod
    def of(cls, traffic: Traffic, revision: int = 0) -> "TrafficPolicy":
        """Return the policy of a service's traffic."""
        weights = dict(sorted(traffic.weights.items()))
        total = math.fsum(weights.values())
        return cls(
            traffic.primary,
            len(weights) > 1,
            traffic,
            revision,
            tuple(weights),
            tuple(accumulate(weight / total for weight in weights.values()))[:-1],
            tuple((b"%d\n" % number, weight) for number, weight in weights.items()),
        )

    @classmethod
    def undivided(cls, number: int) -> "TrafficPolicy":
        """Return the policy by which one version answers all calls."""
        return cls.of(Traffic.undivided(number))

    def choose(self, point: float, key: str | None = None) -> int:
        """Return the number of the version that answers a call.

        Parameters
        ----------
        point
            A random number from 0 to 1, which decides without a key.
        key
            What keeps its version, see ``sticky_key``.
        """
        if not self.divided:
            return self.primary
        if key is not None:
            return self._numbers[self._rendezvous(key.encode())]
        return self._numbers[bisect_right(self._bounds, point)]

    def sticky_key(self, service: str, caller: str, headers: Mapping[str, str]) -> str | None:
        """Return what keeps its version in a call; ``None`` if chance decides."""
        sticky = self.traffic.sticky
        if sticky is None:
            return None
        if sticky == CALLER:
            return f"{service}\n{caller}"
        value = headers.get(sticky.removeprefix(HEADER))
        return f"{service}\n{value}" if value else None

    def _rendezvous(self, key: bytes) -> int:
        """Return the position of the version with the highest score for a key.

        This is weighted rendezvous hashing. The hash depends on the version's number, so each
        version draws its callers afresh, and one whose weight grows keeps the callers it has.
        """
        best, position = -1.0, 0
        for at, (seed, weight) in enumerate(self._seeds):
            digest = blake2b(seed + key, digest_size=8).digest()
            score = -weight / math.log((int.from_bytes(digest) + 0.5) / _POINTS)
            if score > best:
                best, position = score, at
        return position
