"""Options of a call in its headers."""

from tornado.httputil import HTTPHeaders

from easymlnb.contract.errors import BadRequest

PRIORITIES = ("interactive", "batch")
LONGEST_KEY = 200

SHORTEST = 0.001
"""Seconds; no call can be answered in less."""

_NUMBER = frozenset("0123456789.eE+-")


def seconds(headers: HTTPHeaders, limit: float) -> float:
    """Return how long a call may take; raises ``BadRequest``."""
    asked = headers.get("X-Timeout")
    if asked is None:
        return limit
    try:
        # `float` also takes signs, words, blanks, underscores and the digits of other scripts.
        found = float(asked) if _NUMBER.issuperset(asked) and asked[0].isdigit() else 0.0
    except (ValueError, IndexError):
        found = 0.0
    if not SHORTEST <= found < float("inf"):
        raise BadRequest(
            f"Invalid X-Timeout {asked[:40]!r}: use seconds, at least {SHORTEST:g}, such as 2.5."
        )
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
