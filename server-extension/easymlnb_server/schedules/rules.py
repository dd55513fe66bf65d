"""The times of a schedule, and checks of what callers send. Pure functions."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.jsonschema import properties
from easymlnb.contract.spec import ServiceSpec

SHOWN = 3
"""Ticks to come that callers see."""

FIELDS = 5
EXAMPLE = (
    "Write five fields: minute, hour, day of the month, month, day of the week, such as "
    "'0 6 * * 1-5' for 6:00 from Monday to Friday."
)


def zone(name: str) -> ZoneInfo:
    """Return a time zone; raises ``BadRequest``."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadRequest(
            f"There is no time zone {name!r}. Use a name such as 'UTC', 'Europe/Berlin' or "
            "'America/New_York'."
        ) from error


def next_tick(cron: str, zone_name: str, after: float) -> float:
    """Return the first tick after a time, both in seconds since 1970; raises ``BadRequest``.

    A tick in the hour that a change of the clocks skips comes right after it; one in the hour that
    they repeat comes once, unless the expression has it every hour.
    """
    for tick in _ticks(cron, zone_name, after):
        return tick
    raise BadRequest(f"The cron expression {cron!r} never comes true; no month has such a day.")


def upcoming(cron: str, zone_name: str, after: float, count: int = SHOWN) -> list[float]:
    """Return the next ticks after a time."""
    found: list[float] = []
    for tick in _ticks(cron, zone_name, after):
        found.append(tick)
        if len(found) >= count:
            break
    return found


def explain(cron: str) -> str:
    """Return a cron expression in words."""
    return str(CronSim(cron, datetime.now(UTC)).explain())


def _ticks(cron: str, zone_name: str, after: float) -> Iterator[float]:
    if len(cron.split()) != FIELDS:
        raise BadRequest(f"Invalid cron expression {cron!r}. {EXAMPLE}")
    began = datetime.fromtimestamp(after, zone(zone_name))
    try:
        found = CronSim(cron, began)
    except CronSimError as error:
        text = str(error)
        raise BadRequest(
            f"Invalid cron expression {cron!r}: {text[:1].lower()}{text[1:]}. {EXAMPLE}"
        ) from error
    last = after
    for moment in found:
        # In the hour that the clocks repeat, the expression's own time may be the first one.
        if (tick := moment.timestamp()) > last:
            last = tick
            yield tick


def check_inputs(given: Iterable[str], spec: ServiceSpec) -> None:
    """Raise ``BadRequest`` if parameters with these names cannot be those of a service."""
    known, given = properties(spec.input), set(given)
    names = ", ".join(known) or "none"
    if unknown := sorted(given - known.keys()):
        raise BadRequest(
            f"{spec.name!r} has no parameter {unknown[0][:80]!r}. Its parameters: {names}."
        )
    missing = [name for name in spec.input.get("required", ()) if name not in given]
    if missing:
        raise BadRequest(f"inputs lacks the parameter {missing[0]!r} of {spec.name!r}.")
