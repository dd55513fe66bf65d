"""The traffic of a service as data: what is stored, and what requests and responses contain."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

CALLER = "caller"
HEADER = "header:"
"""Values of ``sticky``: the caller, or the prefix of a header's name."""

Weights = Annotated[
    dict[str, float],
    Meta(description="Percentages by version number or alias. They add up to 100."),
]
Aliases = Annotated[
    dict[str, int | str],
    Meta(description="Version numbers by name. An alias may also name another alias."),
]
Sticky = Annotated[
    str | None,
    Meta(
        description="`caller` or `header:NAME`: the same caller, or the same value of the header, "
        "gets the same version. `null`: each call is chosen by chance."
    ),
]


class Shadow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version that answers copies of calls; nobody receives its answers."""

    version: Annotated[int | str, Meta(description="A version number or an alias.")]
    share: Annotated[float, Meta(description="Share of the calls, from 0 to 1.")]


class TrafficChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New traffic of a service. Fields that are left out keep their values."""

    weights: Weights | UnsetType = UNSET
    aliases: Aliases | UnsetType = UNSET
    sticky: Sticky | UnsetType = UNSET
    shadow: Shadow | UnsetType | None = UNSET


class Traffic(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The traffic of a service as it is stored.

    - ``weights``: percentages above 0 by version number; they add up to 100
    - ``aliases``: version numbers by name
    - ``sticky``: see ``TrafficChange``
    - ``shadow``: version number and share of the copied calls
    - ``history``: the versions that had all the traffic, one after the other; the latest is last
    """

    weights: dict[int, float]
    aliases: dict[str, int] = {}
    sticky: str | None = None
    shadow: Shadow | None = None
    history: tuple[int, ...] = ()

    @classmethod
    def undivided(cls, number: int) -> "Traffic":
        """Return the traffic of a service whose calls all go to one version."""
        return cls(weights={number: 100.0}, history=(number,))

    @property
    def primary(self) -> int:
        """The version with the largest weight; of equal ones the oldest."""
        return min(self.weights, key=lambda number: (-self.weights[number], number))

    @property
    def shadow_version(self) -> int | None:
        """The number of the version that answers copies of calls."""
        return int(self.shadow.version) if self.shadow is not None else None

    @property
    def needed(self) -> set[int]:
        """The versions that need workers."""
        copies = self.shadow_version
        return {*self.weights} | ({copies} if copies is not None else set())

    def users_of(self, number: int) -> list[str]:
        """Return in words what refers to a version, so that it must stay."""
        found = ["its traffic"] if number in self.weights else []
        found += ["shadow calls"] if number == self.shadow_version else []
        found += [f"the alias {alias!r}" for alias, at in self.aliases.items() if at == number]
        return found


class TrafficView(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic of a service."""

    weights: Annotated[dict[str, float], Meta(description="Percentages by version number.")]
    aliases: Annotated[dict[str, int], Meta(description="Version numbers by name.")]
    sticky: Sticky
    shadow: Shadow | None
    rollback: Annotated[
        int | None, Meta(description="The version that a rollback goes to; null if there is none.")
    ]
    promotion: Annotated[
        str | None, Meta(description="The ID of the promotion that is changing the traffic.")
    ] = None
