"""The header fields of a reached limit, as the IETF's draft describes them.

See ``draft-ietf-httpapi-ratelimit-headers``. A policy has a quota ``q`` per window of ``w``
seconds; it counts requests unless a unit ``qu`` is given. The status has the rest ``r`` and the
seconds ``t`` until it is reset.
"""

from fractions import Fraction
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from easymlnb.contract.errors import EasyMLNBError, LimitExceeded

DAY = 86400
MAX_WINDOW = 3600

POLICY, STATUS = "RateLimit-Policy", "RateLimit"


class _Reached(msgspec.Struct):
    """The details of the error."""

    limit: Literal["calls_per_second", "calls_per_day", "compute_seconds_per_day", "concurrent"]
    value: Annotated[float, Meta(ge=0, le=1e15)]
    retry_after: int


def rate_limit_headers(error: EasyMLNBError) -> dict[str, str]:
    """Return the fields for an error; none unless a limit was reached."""
    if not isinstance(error, LimitExceeded):
        return {}
    try:
        reached = msgspec.convert(error.details, _Reached)
    except msgspec.ValidationError:
        return {}  # from a worker, which has no limits
    name = reached.limit
    return {
        POLICY: f'"{name}";{_policy(name, reached.value)}',
        STATUS: f'"{name}";r=0;t={reached.retry_after}',
    }


def _policy(name: str, value: float) -> str:
    if name == "calls_per_second":
        # The fields have whole numbers only: 0.5 per second is 1 in 2 seconds.
        rate = Fraction(value).limit_denominator(MAX_WINDOW)
        return f"q={max(1, rate.numerator)};w={rate.denominator}"
    if name == "concurrent":
        return f'q={int(value)};qu="concurrent-requests"'
    unit = ';qu="compute-seconds"' if name == "compute_seconds_per_day" else ""
    return f"q={max(1, int(value))};w={DAY}{unit}"
