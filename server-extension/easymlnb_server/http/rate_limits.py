"""The header fields of a reached limit, as the IETF's draft describes them.

See ``draft-ietf-httpapi-ratelimit-headers``. A policy has a quota ``q`` per window of ``w``
seconds; it counts requests unless a unit ``qu`` is given. The status has the rest ``r`` and the
seconds ``t`` until it is reset.
"""

from fractions import Fraction

from easymlnb.contract.errors import EasyMLNBError, LimitExceeded

DAY = 86400
MAX_WINDOW = 3600

POLICY, STATUS = "RateLimit-Policy", "RateLimit"


def rate_limit_headers(error: EasyMLNBError) -> dict[str, str]:
    """Return the fields for an error; none unless a limit was reached."""
    if not isinstance(error, LimitExceeded) or not isinstance(error.details, dict):
        return {}
    name, value = str(error.details["limit"]), float(error.details["value"])
    return {
        POLICY: f'"{name}";{_policy(name, value)}',
        STATUS: f'"{name}";r=0;t={error.details["retry_after"]}',
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
