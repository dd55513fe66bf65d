"""Check and apply changes of traffic. Pure functions."""

import math
import re
from collections.abc import Collection, Mapping

from msgspec import UNSET
from msgspec.structs import replace

from easymlnb.contract.errors import BadRequest, VersionNotFound
from easymlnb.contract.json_values import decode_body
from easymlnb_server.traffic.models import CALLER, HEADER, Shadow, Traffic, TrafficChange

ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
RESERVED = ("live",)
TOTAL = 100.0
TOLERANCE = 1e-6
MAX_ALIASES = 50
MAX_HISTORY = 50

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z")

EXAMPLE = '{"weights": {"3": 90, "4": 10}}'


def parse_change(data: bytes) -> TrafficChange:
    """Decode the body of a change; raises ``BadRequest``."""
    return decode_body(data, TrafficChange, f"Send the traffic as JSON, such as {EXAMPLE}")


def apply(change: TrafficChange, traffic: Traffic, versions: Collection[int]) -> Traffic:
    """Return the traffic after a change; raises ``BadRequest`` or ``VersionNotFound``.

    ``versions`` are the numbers of the service's versions.
    """
    aliases = traffic.aliases
    if change.aliases is not UNSET:
        aliases = _aliases(change.aliases, versions)
    weights, shadow = traffic.weights, traffic.shadow
    if change.weights is not UNSET:
        weights = _weights(change.weights, aliases, versions)
    if change.shadow is not UNSET:
        shadow = _shadow(change.shadow, aliases, versions)
    changed = replace(
        traffic,
        weights=weights,
        aliases=aliases,
        sticky=traffic.sticky if change.sticky is UNSET else _sticky(change.sticky),
        shadow=shadow,
    )
    return with_history(changed)


def switched(traffic: Traffic, number: int) -> Traffic:
    """Return the traffic after all of it moved to one version."""
    shadow = traffic.shadow if traffic.shadow_version != number else None
    return with_history(replace(traffic, weights={number: TOTAL}, shadow=shadow))


def divided(traffic: Traffic, base: int, candidate: int, percent: float) -> Traffic:
    """Return the traffic with a part at one version and the rest at another."""
    weights = {base: TOTAL - percent, candidate: percent}
    above = {number: weight for number, weight in weights.items() if weight > 0}
    return with_history(replace(traffic, weights=above))


def with_history(traffic: Traffic) -> Traffic:
    """Return the traffic with its present version in the history, if it has all of it."""
    if len(traffic.weights) != 1:
        return traffic
    (number,) = traffic.weights
    if traffic.history[-1:] == (number,):
        return traffic
    return replace(traffic, history=(*traffic.history, number)[-MAX_HISTORY:])


def rollback_target(traffic: Traffic, versions: Collection[int]) -> int | None:
    """Return the version that a rollback goes to; ``None`` if there is none.

    While traffic is divided, it is the last version that had all of it, else the one before.
    """
    is_divided = len(traffic.weights) > 1
    for number in reversed(traffic.history):
        if number in versions and (is_divided or number not in traffic.weights):
            return number
    return None


def without(traffic: Traffic, number: int) -> Traffic:
    """Return the traffic without a deleted version in its history."""
    return replace(traffic, history=tuple(one for one in traffic.history if one != number))


def find_version(asked: str, aliases: Mapping[str, int], versions: Collection[int]) -> int:
    """Return the number of a version that is named by number or alias.

    Raises ``VersionNotFound``.
    """
    number = int(asked) if _NUMBER.match(asked) else aliases.get(asked)
    if number is None or number not in versions:
        raise VersionNotFound(asked, versions, aliases)
    return number


def _weights(
    given: Mapping[str, float], aliases: Mapping[str, int], versions: Collection[int]
) -> dict[int, float]:
    weights: dict[int, float] = {}
    for name, weight in given.items():
        number = find_version(name, aliases, versions)
        if not math.isfinite(weight) or not 0 <= weight <= TOTAL:
            raise BadRequest(
                f"The weight of version {name} is {weight:.12g}. Use a percentage from 0 to 100."
            )
        if number in weights:
            raise BadRequest(f"Version {number} has two weights. Name each version once.")
        weights[number] = weight
    total = math.fsum(weights.values())
    if abs(total - TOTAL) > TOLERANCE:
        raise BadRequest(
            f"The weights add up to {total:.12g}. Use percentages that add up to 100, such as "
            f"{EXAMPLE}."
        )
    return {number: weights[number] for number in sorted(weights) if weights[number] > TOLERANCE}


def _aliases(given: Mapping[str, int | str], versions: Collection[int]) -> dict[str, int]:
    if len(given) > MAX_ALIASES:
        raise BadRequest(f"A service can have at most {MAX_ALIASES} aliases, not {len(given)}.")
    for alias in given:
        if not ALIAS.match(alias) or alias in RESERVED:
            raise BadRequest(
                f"Invalid alias {alias[:80]!r}. Use a lowercase letter, followed by lowercase "
                "letters, digits, - and _ (at most 63), but not 'live'."
            )
    return {alias: _follow(alias, given, versions) for alias in sorted(given)}


def _follow(alias: str, given: Mapping[str, int | str], versions: Collection[int]) -> int:
    """Return the version of an alias that may name another alias."""
    path = [alias]
    while (target := given.get(path[-1])) is not None:
        if isinstance(target, int):
            return find_version(str(target), {}, versions)
        if target in path:
            shown = " -> ".join([*path, target])
            raise BadRequest(f"These aliases name each other: {shown}. Set one to a version.")
        path.append(target)
    return find_version(path[-1], {}, versions)


def _sticky(given: str | None) -> str | None:
    if given is None or given == CALLER:
        return given
    name = given.removeprefix(HEADER)
    if not given.startswith(HEADER) or not _HEADER_NAME.match(name):
        raise BadRequest(
            f"Invalid sticky {given[:80]!r}. Use 'caller', 'header:NAME' with the name of a "
            "header, or null."
        )
    # The fast path has header names in lower case, Tornado's headers ignore the case.
    return f"{HEADER}{name.lower()}"


def _shadow(
    given: Shadow | None, aliases: Mapping[str, int], versions: Collection[int]
) -> Shadow | None:
    if given is None:
        return None
    if not math.isfinite(given.share) or not 0 <= given.share <= 1:
        raise BadRequest(f"The share of shadow calls is {given.share:g}. Use 0 to 1, such as 0.1.")
    number = find_version(str(given.version), aliases, versions)
    return Shadow(number, given.share) if given.share else None
