"""How much the members of a group may use: how many workers, and how long GPUs.

Rules only: nothing here asks anybody or looks at a clock.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from easymlnb_server import spelling

ALL = "*"
"""Stands for users who are in no group that is named."""


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one user may use; ``None`` is without limit.

    ``workers`` is how many may run at a time, in all placements; ``gpu_seconds_a_day`` for how long
    they may hold GPUs from one midnight (UTC) to the next, one GPU for a second being one.
    """

    workers: int | None = None
    gpu_seconds_a_day: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"invalid {name} {value!r}: a limit is a number of at least 0.")


NO_LIMIT = Limit()


def read(told: Mapping[str, Any]) -> dict[str, Limit]:
    """Return the limits of ``c.EasyMLNB.group_limits``; raises ``ValueError`` in a sentence."""
    wrong = next((group for group in told if not isinstance(group, str)), None)
    if wrong is not None:
        raise ValueError(f"Invalid group name {wrong!r}: use a string.")
    return {
        group: spelling.struct(limit, Limit, f"the limit of the group {group!r}")
        for group, limit in told.items()
    }


def of(groups: Collection[str], limits: Mapping[str, Limit]) -> Limit:
    """Return what a member of these groups may use: the most that any of them gives.

    Groups without a limit give none; who is in no group with one has that of ``*``, if there is.
    """
    given = [limit for group, limit in limits.items() if group != ALL and group in groups]
    if not given:
        return limits.get(ALL, NO_LIMIT)
    workers = [limit.workers for limit in given]
    seconds = [limit.gpu_seconds_a_day for limit in given]
    return Limit(
        None if None in workers else max(one for one in workers if one is not None),
        None if None in seconds else max(one for one in seconds if one is not None),
    )
