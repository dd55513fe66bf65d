"""Limits of workers and GPU seconds for the members of groups: rules without I/O or clock."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from easymlnb_server import spelling

OTHERS = "*"
"""Key of the limit for users in no listed group."""


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit of one user; ``None`` is unlimited.

    workers: number of workers at a time, in all placements.
    gpu_seconds_a_day: GPUs times seconds from one midnight (UTC) to the next.
    """

    workers: int | None = None
    gpu_seconds_a_day: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"invalid {name} {value!r}: a limit is a number of at least 0.")


NO_LIMIT = Limit()


def parse(setting: Mapping[str, Any]) -> dict[str, Limit]:
    """Return the limits of ``c.EasyMLNB.group_limits``; raises ``ValueError``."""
    wrong = next((group for group in setting if not isinstance(group, str)), None)
    if wrong is not None:
        raise ValueError(f"Invalid group name {wrong!r}: use a string.")
    return {
        group: spelling.struct(limit, Limit, f"the limit of the group {group!r}")
        for group, limit in setting.items()
    }


def limit_for(groups: Collection[str], limits: Mapping[str, Limit]) -> Limit:
    """Return the limit of a member of these groups: the highest of any listed group, else ``*``."""
    given = [limit for group, limit in limits.items() if group != OTHERS and group in groups]
    if not given:
        return limits.get(OTHERS, NO_LIMIT)
    workers = [limit.workers for limit in given]
    seconds = [limit.gpu_seconds_a_day for limit in given]
    return Limit(
        None if None in workers else max(one for one in workers if one is not None),
        None if None in seconds else max(one for one in seconds if one is not None),
    )
