"""What the headers of a call ask for, beside what its body says."""

from tornado.httputil import HTTPHeaders

from easymlnb.contract.errors import BadRequest

PRIORITIES = ("interactive", "batch")
LONGEST_KEY = 200


def seconds(headers: HTTPHeaders, limit: float) -> float:
    """Return how long a call may take; raises ``BadRequest``."""
    asked = headers.get("X-Timeout")
    if asked is None:
        return limit
    try:
        found = float(asked)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise BadRequest("X-Timeout must be a positive number of seconds.")
    return min(found, limit)


def patient(headers: HTTPHeaders) -> bool:
    """Say whether a call lets interactive ones go first; raises ``BadRequest``."""
    asked = headers.get("X-Priority", "interactive")
    if asked not in PRIORITIES:
        raise BadRequest(f"X-Priority must be one of: {', '.join(PRIORITIES)}.")
    return asked == "batch"


def idempotency_key(headers: HTTPHeaders) -> str:
    """Return the key under which a call may be repeated, empty for none; raises ``BadRequest``."""
    asked = headers.get("Idempotency-Key")
    if asked is None:
        return ""
    if not 0 < len(asked) <= LONGEST_KEY or not (asked.isascii() and asked.isprintable()):
        raise BadRequest(f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters.")
    return asked
