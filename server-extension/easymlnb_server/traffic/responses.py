"""The responses about promotions, as structs."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from easymlnb_server.traffic.promotions import AbortIf, Promotion, Sample

PromotionStatus = Literal["running", "paused", "done", "aborted", "canceled"]


class VersionNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a version during a promotion."""

    calls: int
    errors: int
    error_rate: float
    p95: Annotated[
        float | None, Meta(description="95th percentile of the last 200 calls in seconds.")
    ]
    memory: Annotated[
        int | None, Meta(description="Bytes of its largest worker; null if that is unknown.")
    ]
    lost_workers: int


class PromotionView(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion, and the numbers on which it decides."""

    id: str
    version: Annotated[int, Meta(description="The version that gets more and more calls.")]
    base: Annotated[int, Meta(description="The version that served before.")]
    state: PromotionStatus
    reason: Annotated[str, Meta(description="Why it ended or waits, with the numbers.")]
    steps: list[float]
    step: Annotated[int, Meta(ge=1, description="The present step, counted from 1.")]
    percent: Annotated[float, Meta(description="Percentage of the calls in the present step.")]
    every: Annotated[float, Meta(description="Seconds of a step.")]
    next: Annotated[str | None, Meta(description="When the present step ends, if it is running.")]
    abort_if: AbortIf
    candidate: VersionNumbers
    serving: VersionNumbers
    created: str
    changed: str


class PromotionList(msgspec.Struct, frozen=True, kw_only=True):
    """The latest promotions of a service, newest first."""

    promotions: list[PromotionView]


def promotion_view(promotion: Promotion) -> PromotionView:
    """Return a promotion for a response."""
    running = promotion.state.value == "running"
    return PromotionView(
        id=promotion.id,
        version=promotion.version,
        base=promotion.base,
        state=promotion.state.value,
        reason=promotion.reason,
        steps=list(promotion.steps),
        step=promotion.step + 1,
        percent=promotion.percent,
        every=promotion.every,
        next=_time(promotion.step_began + promotion.every) if running else None,
        abort_if=promotion.abort_if,
        candidate=_numbers(promotion.candidate),
        serving=_numbers(promotion.serving),
        created=_time(promotion.created),
        changed=_time(promotion.changed),
    )


def _numbers(sample: Sample) -> VersionNumbers:
    return VersionNumbers(
        calls=sample.calls,
        errors=sample.errors,
        error_rate=round(sample.error_rate, 6),
        p95=sample.p95,
        memory=sample.memory,
        lost_workers=sample.lost_workers,
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
