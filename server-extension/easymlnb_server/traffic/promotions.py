"""Promotions: traffic moves to a version in steps, or back. Records and pure functions."""

import math
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from easymlnb.contract import units
from easymlnb.contract.errors import BadRequest
from easymlnb.contract.json_values import decode_body

STEPS = (5.0, 25.0, 50.0, 100.0)
MAX_STEPS = 50
LONGEST_STEP = 30 * 86400.0

ERROR_FLOOR = 0.01
"""An error rate of the serving version below this counts as this."""

LATENCY_FLOOR = 0.01
"""Seconds by which a 95th percentile must be longer to count as longer."""

MEMORY_FLOOR = 64 * 2**20
"""Bytes by which a worker must be larger to count as larger."""

MOST_LOSSES = 3
"""Workers of the candidate that may be lost during a promotion."""


class AbortIf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a promotion goes back."""

    error_rate_ratio: Annotated[
        float | None, Meta(description="Error rate, as a multiple of the serving version's.")
    ] = 2.0
    p95_ratio: Annotated[
        float | None,
        Meta(
            description="95th percentile of the duration, as a multiple of the serving version's."
        ),
    ] = 1.5
    memory_ratio: Annotated[
        float | None,
        Meta(description="Memory of its largest worker, as a multiple of the serving version's."),
    ] = 2.0
    min_calls: Annotated[int, Meta(description="Calls of the version before its ratios count.")] = (
        100
    )


class PromotionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A promotion to start."""

    version: Annotated[int | str, Meta(description="A version number or an alias.")]
    steps: Annotated[
        list[float], Meta(description="Percentages of the calls, from low to high.")
    ] = msgspec.field(default_factory=lambda: list(STEPS))
    every: Annotated[
        float | str, Meta(description="Duration of a step: seconds, or a text such as `10m`.")
    ] = "10m"
    abort_if: AbortIf = AbortIf()


class PromotionState(StrEnum):
    """Whether a promotion changes the traffic."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    ABORTED = "aborted"
    CANCELED = "canceled"

    @property
    def active(self) -> bool:
        return self in (PromotionState.RUNNING, PromotionState.PAUSED)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a version since the promotion began or the server started.

    ``memory``: the bytes of its largest worker now; ``None`` if that is unknown.
    """

    calls: int = 0
    errors: int = 0
    p95: float | None = None
    memory: int | None = None
    lost_workers: int = 0
    start_error: str = ""

    @property
    def error_rate(self) -> float:
        return self.errors / self.calls if self.calls else 0.0

    def since(self, earlier: "Sample") -> "Sample":
        """Return the numbers since an earlier sample."""
        return replace(
            self,
            calls=max(0, self.calls - earlier.calls),
            errors=max(0, self.errors - earlier.errors),
            lost_workers=max(0, self.lost_workers - earlier.lost_workers),
        )


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion of a version. Times are seconds since 1970.

    - ``version``, ``base``: the candidate, and the version that served before
    - ``step``: index of the present step
    - ``step_began``: when it began
    - ``revision``: that of the traffic after the latest step
    - ``reason``: why it ended, or what it waits for
    - ``candidate``, ``serving``: the numbers on which the latest decision was based
    """

    id: str
    service: str
    version: int
    base: int
    steps: tuple[float, ...]
    every: float
    abort_if: AbortIf
    state: PromotionState = PromotionState.RUNNING
    step: int = 0
    step_began: float = 0.0
    revision: int = 0
    reason: str = ""
    candidate: Sample = Sample()
    serving: Sample = Sample()
    created: float = 0.0
    changed: float = 0.0

    @property
    def percent(self) -> float:
        """The percentage of the present step."""
        return self.steps[self.step]


def event_details(promotion: Promotion) -> dict[str, object]:
    """Return what the audit log has about a promotion."""
    return {
        "promotion": promotion.id,
        "version": promotion.version,
        "percent": promotion.percent,
        "state": promotion.state.value,
        "reason": promotion.reason,
    }


class Decision(StrEnum):
    """What to do with a promotion now."""

    WAIT = "wait"
    ADVANCE = "advance"
    FINISH = "finish"
    ABORT = "abort"


def parse_request(data: bytes) -> PromotionRequest:
    """Decode and check the body of a new promotion; raises ``BadRequest``."""
    example = '{"version": "candidate", "steps": [5, 25, 50, 100], "every": "10m"}'
    request = decode_body(data, PromotionRequest, f"Send the promotion as JSON, such as {example}")
    _check_steps(request.steps)
    step_seconds(request)
    _check_limits(request.abort_if)
    return request


def step_seconds(request: PromotionRequest) -> float:
    """Return the seconds of a step; raises ``BadRequest``."""
    try:
        seconds = units.parse_duration(request.every)
    except ValueError as error:
        raise BadRequest(f"Invalid 'every'. {error}") from error
    if not 1 <= seconds <= LONGEST_STEP:
        raise BadRequest(f"every is {request.every!r:.40}. Use 1 s to 30 days, such as '10m'.")
    return seconds


def _check_steps(steps: list[float]) -> None:
    valid = all(math.isfinite(step) and 0 < step <= 100 for step in steps)
    grows = all(one < other for one, other in pairwise(steps))
    if not (valid and grows and 0 < len(steps) <= MAX_STEPS):
        raise BadRequest(
            f"Invalid steps {str(steps)[:80]}. Use 1 to {MAX_STEPS} percentages above 0 and at "
            "most 100, from low to high, such as [5, 25, 50, 100]."
        )


def _check_limits(limits: AbortIf) -> None:
    for name in ("error_rate_ratio", "p95_ratio", "memory_ratio"):
        ratio = getattr(limits, name)
        if ratio is not None and not (math.isfinite(ratio) and ratio >= 1):
            raise BadRequest(f"abort_if.{name} is {ratio:g}. Use a number from 1, or null.")
    if not 1 <= limits.min_calls <= 10**9:
        raise BadRequest(f"abort_if.min_calls is {limits.min_calls}. Use 1 or more.")


def decide(
    promotion: Promotion, now: float, candidate: Sample, serving: Sample
) -> tuple[Decision, str]:
    """Return what to do now, and why in words."""
    problem = problem_of(promotion.abort_if, candidate, serving)
    if problem:
        return Decision.ABORT, problem
    left = promotion.step_began + promotion.every - now
    if promotion.state is PromotionState.PAUSED:
        return Decision.WAIT, f"Paused at {promotion.percent:g} %."
    if left > 0:
        return Decision.WAIT, ""
    if promotion.step + 1 < len(promotion.steps):
        return Decision.ADVANCE, ""
    return Decision.FINISH, f"Version {promotion.version} answers {promotion.percent:g} % of calls."


def problem_of(limits: AbortIf, candidate: Sample, serving: Sample) -> str:
    """Return why a candidate must not get more traffic, with the numbers; empty if it may."""
    if candidate.start_error:
        return f"It has no worker: {candidate.start_error}"
    if candidate.lost_workers >= MOST_LOSSES:
        return (
            f"It lost {candidate.lost_workers} workers, which ended, hung or used too much memory."
        )
    if candidate.calls < limits.min_calls:
        return ""
    if limits.error_rate_ratio is not None:
        allowed = limits.error_rate_ratio * max(serving.error_rate, ERROR_FLOOR)
        if candidate.error_rate > allowed:
            return (
                f"{candidate.errors} of its {candidate.calls} calls failed "
                f"({candidate.error_rate:.1%}). The serving version failed in {serving.errors} of "
                f"{serving.calls} ({serving.error_rate:.1%}); the limit is {allowed:.1%}."
            )
    return _slowness(limits, candidate, serving) or _growth(limits, candidate, serving)


def _slowness(limits: AbortIf, candidate: Sample, serving: Sample) -> str:
    if limits.p95_ratio is None or candidate.p95 is None or serving.p95 is None:
        return ""
    longer = candidate.p95 - serving.p95
    if longer > LATENCY_FLOOR and candidate.p95 > limits.p95_ratio * serving.p95:
        return (
            f"Its 95th percentile is {units.format_seconds(candidate.p95)}, that of the serving "
            f"version {units.format_seconds(serving.p95)}; the limit is {limits.p95_ratio:g} times "
            "as long."
        )
    return ""


def _growth(limits: AbortIf, candidate: Sample, serving: Sample) -> str:
    if limits.memory_ratio is None or not candidate.memory or not serving.memory:
        return ""
    more = candidate.memory - serving.memory
    if more <= MEMORY_FLOOR or candidate.memory <= limits.memory_ratio * serving.memory:
        return ""
    return (
        f"Its largest worker uses {units.format_size(candidate.memory)}, that of the serving "
        f"version {units.format_size(serving.memory)}; the limit is {limits.memory_ratio:g} times "
        "as much."
    )
