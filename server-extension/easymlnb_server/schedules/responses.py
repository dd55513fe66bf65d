"""What callers see of schedules."""

from typing import Any

import msgspec

from easymlnb_server.identity.access import user_of_key
from easymlnb_server.schedules import rules
from easymlnb_server.schedules.models import Schedule, ScheduleDetails, ScheduleShown


def shown(schedule: Schedule, address: str, now: float) -> ScheduleShown:
    """Return a schedule as callers see it."""
    return ScheduleShown(**_fields(schedule, address, now))


def details(schedule: Schedule, address: str, now: float, inputs: bytes) -> ScheduleDetails:
    """Return a schedule with the parameters of its calls."""
    return ScheduleDetails(**_fields(schedule, address, now), inputs=msgspec.json.decode(inputs))


def _fields(schedule: Schedule, address: str, now: float) -> dict[str, Any]:
    same = ("id", "service", "cron", "zone", "overlap", "reason", "last_job", "runs", "skipped")
    options = ("lane", "attempts", "timeout")
    following: list[float] = []
    if schedule.next is not None:
        later = rules.upcoming(schedule.cron, schedule.zone, max(now, schedule.next))
        following = [schedule.next, *later][: rules.SHOWN]
    return (
        {name: getattr(schedule, name) for name in same}
        | {name: getattr(schedule.options, name) for name in options}
        | {
            "owner": user_of_key(schedule.owner) or "",
            "description": rules.explain(schedule.cron),
            "paused": schedule.next is None,
            "upcoming": following,
            "last_tick": schedule.tick,
            "created": schedule.created,
            "url": f"{address}schedules/{schedule.id}",
        }
    )
