"""What a webhook is sent, and when a delivery is tried again. Pure functions."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from easymlnb_server.jobs.models import Job
from easymlnb_server.jobs.rules import PREEMPTED, Change
from easymlnb_server.webhooks.models import TEST, Delivery, DeliveryState, Event, Webhook

HOUR = 3600.0
PAUSES = (5.0, 300.0, 1800.0, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR)
"""Seconds until a delivery is tried again, after each try that failed."""

MAX_ERROR = 500
"""Characters of an error that are sent or stored."""


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """How a try ended.

    - ``status``: of the response, if there was one
    - ``error``: why it failed; empty if the message arrived
    - ``final``: whether further tries are useless
    - ``gone``: whether the receiver wants no more messages
    """

    status: int | None = None
    error: str = ""
    final: bool = False
    gone: bool = False


def event_of(job: Job, change: Change) -> Event | None:
    """Return the event of a change; ``None`` if there is none, or the job is part of another."""
    if job.parent is not None:
        return None
    if job.state.ended:
        return Event(f"job.{job.state.value}")
    return Event.PREEMPTED if change.outcome == PREEMPTED else None


def body(event: str, job: Job, url: str, now: float) -> str:
    """Return the message of an event: what happened to which job, never its result."""
    data: dict[str, Any] = {
        "id": job.id,
        "service": job.service,
        "version": job.version,
        "kind": job.kind,
        "state": job.state.shown,
        "created": _moment(job.created),
        "began": _moment(job.began),
        "ended": _moment(job.ended),
        "url": url,
    }
    if job.error is not None:
        message = str(job.error.get("message", ""))[:MAX_ERROR]
        data["error"] = {"code": job.error.get("code", ""), "message": message}
    return _encode(event, data, now)


def test_body(webhook: Webhook, now: float) -> str:
    """Return the message of a test."""
    return _encode(TEST, {"webhook": webhook.id}, now)


def after_try(delivery: Delivery, outcome: DeliveryOutcome, now: float) -> dict[str, Any]:
    """Return the columns of a delivery after a try."""
    tries = delivery.tries + 1
    values: dict[str, Any] = {"tries": tries, "status": outcome.status}
    values["error"] = outcome.error[:MAX_ERROR]
    if not outcome.error:
        return values | {"state": DeliveryState.DELIVERED, "ended": now}
    if outcome.final or tries > len(PAUSES):
        return values | {"state": DeliveryState.FAILED, "ended": now}
    return values | {"next": now + PAUSES[tries - 1]}


def _encode(event: str, data: dict[str, Any], now: float) -> str:
    return msgspec.json.encode({"type": event, "timestamp": _moment(now), "data": data}).decode()


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
