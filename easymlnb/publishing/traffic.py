"""``f.traffic()``, ``f.promote()``, ``f.rollback()``: which versions of a service answer calls."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, UnsetType

from easymlnb.client import Client, hub
from easymlnb.contract.options import named_options


@dataclass(frozen=True, slots=True, repr=False)
class ServiceTraffic:
    """Which versions of a service answer its calls.

    weights: percentages by version.
    aliases: versions by name.
    sticky: what gets the same version each time: ``"caller"``, ``"header:NAME"`` or ``None``.
    shadow: the version and share of copied calls, or ``None``.
    rollback: the version that a rollback goes to, or ``None``.
    promotion: the ID of the promotion that is changing the traffic, or ``None``.
    etag: identifies this state; pass it as ``if_match`` to change nothing else.
    """

    service: str
    weights: dict[int, float]
    aliases: dict[str, int]
    sticky: str | None
    shadow: dict[str, Any] | None
    rollback: int | None
    promotion: str | None
    etag: str

    def __repr__(self) -> str:
        parts = [f"version {number}: {weight:g} %" for number, weight in self.weights.items()]
        lines = [f"{self.service}: {', '.join(parts)}"]
        lines += [f"  {alias} is version {number}" for alias, number in self.aliases.items()]
        if self.shadow is not None:
            share = 100 * self.shadow["share"]
            lines.append(f"  version {self.shadow['version']} gets copies of {share:g} % of calls")
        if self.promotion is not None:
            lines.append(f"  promotion {self.promotion} is changing this")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, repr=False)
class ServicePromotion:
    """A promotion of a version.

    state: ``"running"``, ``"paused"``, ``"done"``, ``"aborted"`` or ``"canceled"``.
    percent: the percentage of the calls that ``version`` answers in the present step.
    reason: why it ended, with the numbers.
    """

    service: str
    id: str
    version: int
    base: int
    state: str
    percent: float
    steps: tuple[float, ...]
    every: float
    reason: str

    def __repr__(self) -> str:
        text = (
            f"{self.service}: promotion of version {self.version} is {self.state} at "
            f"{self.percent:g} %."
        )
        return f"{text} {self.reason}".strip()


@named_options
def traffic(
    service: str,
    *,
    weights: Mapping[int | str, float] | UnsetType = UNSET,
    aliases: Mapping[str, int] | UnsetType = UNSET,
    sticky: str | UnsetType | None = UNSET,
    shadow: Mapping[str, Any] | UnsetType | None = UNSET,
    if_match: str = "",
    force: bool = False,
    url: str | None = None,
    token: str | None = None,
) -> ServiceTraffic:
    """Set which versions answer calls; without changes, return that.

    The parameters are those of ``ServiceFunction.traffic``.
    """
    given = {"weights": weights, "aliases": aliases, "sticky": sticky, "shadow": shadow}
    changes = {name: value for name, value in given.items() if value is not UNSET}
    with Client(hub.publish_target(url, token)) as client:
        admin = client.admin
        full = admin.full_name(service)
        if changes:
            found = admin.set_traffic(full, changes, if_match=if_match, force=force)
        else:
            found = admin.traffic(full)
        return as_traffic(full, found)


@named_options
def rollback(service: str, *, url: str | None = None, token: str | None = None) -> ServiceTraffic:
    """Give all calls to the version that had them before."""
    with Client(hub.publish_target(url, token)) as client:
        full = client.admin.full_name(service)
        return as_traffic(full, client.admin.rollback(full))


@named_options
def promote(
    service: str,
    version: int | str,
    *,
    steps: Iterable[float] = (5, 25, 50, 100),
    every: float | str = "10m",
    abort_if: Mapping[str, Any] | None = None,
    force: bool = False,
    url: str | None = None,
    token: str | None = None,
) -> ServicePromotion:
    """Move the calls to a version in steps; the parameters are ``ServiceFunction.promote``'s."""
    with Client(hub.publish_target(url, token)) as client:
        full = client.admin.full_name(service)
        started = client.admin.promote(
            full, version, steps=steps, every=every, abort_if=abort_if, force=force
        )
        return as_promotion(full, started)


def as_traffic(service: str, found: Mapping[str, Any]) -> ServiceTraffic:
    """Return a response of the server as a record."""
    return ServiceTraffic(
        service,
        {int(number): weight for number, weight in found["weights"].items()},
        dict(found["aliases"]),
        found["sticky"],
        found["shadow"],
        found["rollback"],
        found["promotion"],
        found.get("etag", ""),
    )


def as_promotion(service: str, found: Mapping[str, Any]) -> ServicePromotion:
    """Return a response of the server as a record."""
    return ServicePromotion(
        service,
        found["id"],
        found["version"],
        found["base"],
        found["state"],
        found["percent"],
        tuple(found["steps"]),
        found["every"],
        found["reason"],
    )
