"""Options of a call in its headers."""

from tornado.httputil import HTTPHeaders

from easymlnb.contract.errors import BadRequest, Forbidden
from easymlnb_server.calls.models import MIN_TIMEOUT
from easymlnb_server.calls.responses import EVENTS
from easymlnb_server.identity.access import Caller
from easymlnb_server.identity.grants import Scope
from easymlnb_server.services.models import Target
from easymlnb_server.services.registry import LIVE

MAX_WAIT = 600.0
"""Maximum seconds of ``Prefer: wait``."""

PRIORITIES = ("interactive", "batch")
MAX_KEY_LENGTH = 200

_NUMBER = frozenset("0123456789.eE+-")


def timeout(headers: HTTPHeaders, limit: float) -> float:
    """Return the seconds that a call may take, at most ``limit``; raises ``BadRequest``."""
    given = headers.get("X-Timeout")
    if given is None:
        return limit
    try:
        # `float` also takes signs, words, blanks, underscores and the digits of other scripts.
        seconds = float(given) if _NUMBER.issuperset(given) and given[0].isdigit() else 0.0
    except (ValueError, IndexError):
        seconds = 0.0
    if not MIN_TIMEOUT <= seconds < float("inf"):
        raise BadRequest(
            f"Invalid X-Timeout {given[:40]!r}: use seconds, at least {MIN_TIMEOUT:g}, such as 2.5."
        )
    return min(seconds, limit)


def is_low_priority(headers: HTTPHeaders) -> bool:
    """Return whether interactive calls go first; raises ``BadRequest``."""
    given = headers.get("X-Priority", "interactive")
    if given not in PRIORITIES:
        raise BadRequest(f"X-Priority must be one of: {', '.join(PRIORITIES)}.")
    return given == "batch"


def idempotency_key(headers: HTTPHeaders) -> str:
    """Return the idempotency key, empty without one; raises ``BadRequest``."""
    given = headers.get("Idempotency-Key")
    if given is None:
        return ""
    if not 0 < len(given) <= MAX_KEY_LENGTH or not (given.isascii() and given.isprintable()):
        raise BadRequest(
            f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters."
        )
    return given


def preferred_wait(headers: HTTPHeaders) -> float | None:
    """Return how long to wait for a call that becomes a job; ``None`` for a plain call.

    ``Prefer: respond-async`` does not wait, ``Prefer: wait=N`` waits for N seconds (RFC 7240).
    """
    found: float | None = None
    for part in headers.get("Prefer", "").split(","):
        name, _, value = part.partition(";")[0].strip().partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "respond-async":
            found = found or 0.0
        elif name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            found = min(float(value[:6]), MAX_WAIT)
    return found


def job_wait(
    headers: HTTPHeaders, caller: Caller | None, target: Target | None, *, live: bool
) -> float | None:
    """Return how long to wait for a call that is a job; ``None`` for a plain call."""
    key = caller.key if caller is not None else None
    no_jobs = key is not None and Scope.JOBS not in key.scopes
    if "Prefer" in headers:
        wait = preferred_wait(headers)
        if wait is not None and no_jobs:
            raise Forbidden(f"This API key lacks the scope {str(Scope.JOBS)!r}.")
        return wait
    plain = no_jobs or live or caller is None or EVENTS in headers.get("Accept", "")
    if plain or target is None or not target.spec.on_timeout or target.version == LIVE:
        return None
    return timeout(headers, target.spec.timeout)
