"""Rules for new keys. Pure functions."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from easymlnb.contract import units
from easymlnb.contract.errors import BadRequest
from easymlnb.contract.json_values import decode_body
from easymlnb.contract.names import split
from easymlnb_server.identity.api_keys.models import KeyRequest
from easymlnb_server.identity.grants import ALL, Scope

MAX_SERVICES = 100
MAX_NOTE = 200
LONGEST = timedelta(days=3650)
"""Maximum time until a key expires."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_EXAMPLE = '{"services": ["roll"], "scopes": ["call"], "expires": "90d", "note": "shop"}'


def parse_request(data: bytes) -> KeyRequest:
    """Decode the body of a request for a key; raises ``BadRequest``."""
    return decode_body(data, KeyRequest, f"Send the key as JSON, such as {_EXAMPLE}")


def check_scopes(scopes: Iterable[str]) -> tuple[Scope, ...]:
    """Return scopes in order, without duplicates; raises ``BadRequest``."""
    given = list(scopes)
    known = {scope.value for scope in Scope}
    if unknown := [scope for scope in given if scope not in known]:
        raise BadRequest(f"Unknown scope {unknown[0][:40]!r}: use any of {', '.join(Scope)}.")
    if not given:
        raise BadRequest(f"The key has no scopes. List at least one of {', '.join(Scope)}.")
    return tuple(scope for scope in Scope if scope in given)


def check_services(services: Iterable[str], owner: str, *, shared: bool) -> tuple[str, ...]:
    """Return the full names and patterns of a key's services; raises ``BadRequest``.

    Raises ``ServiceNotFound`` for a name that no service can have.
    """
    given = [name.strip() for name in services]
    if not given:
        raise BadRequest(
            "The key has no services. List their names, or '*' for all services that you may call."
        )
    if len(given) > MAX_SERVICES:
        raise BadRequest(
            f"The key lists {len(given):,} services; the maximum is {MAX_SERVICES}. Use a pattern "
            "such as 'owner/*' instead."
        )
    return tuple(sorted({_full_name(name, owner, shared=shared) for name in given}))


def _full_name(name: str, owner: str, *, shared: bool) -> str:
    if name == ALL:
        return name
    user, _, last = name.rpartition("/")
    split(f"{user}/x" if user and last == ALL else name)
    if not shared and user:
        raise BadRequest(f"Invalid service {name[:80]!r}: names on this server have no owner.")
    return f"{owner}/{name}" if shared and not user else name


def is_pattern(service: str) -> bool:
    """Return whether a service of a key stands for several."""
    return service.rpartition("/")[2] == ALL


def expiry(text: str | None, now: float) -> float | None:
    """Return when a key expires, in seconds since the epoch; raises ``BadRequest``.

    ``text`` is a date, a date and time, or a duration from ``now``; ``None`` means never.
    """
    if text is None:
        return None
    moment = _moment(text.strip(), now)
    if moment <= now:
        raise BadRequest(
            f"The key would have expired already: {text[:40]!r} is in the past. Use a later time, "
            "or a duration such as '90d'."
        )
    if moment > now + LONGEST.total_seconds():
        raise BadRequest(
            f"The expiry {text[:40]!r} is more than {LONGEST.days:,} days away. Use an earlier "
            "time, or null for a key that never expires."
        )
    return moment


def _moment(text: str, now: float) -> float:
    try:
        if text[:1].isdigit() and "-" not in text:
            return now + units.parse_duration(text)
        if _DATE.match(text):
            # The whole day counts.
            day = datetime.combine(date.fromisoformat(text), time.max, UTC)
            return day.timestamp()
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            f"Invalid expiry {text[:40]!r}: use a date such as '2030-12-31', a date and time, or a "
            "duration such as '90d'."
        ) from error


def check_note(note: str) -> str:
    """Return a note as one line; raises ``BadRequest``."""
    if len(note) > MAX_NOTE or not note.isprintable():
        raise BadRequest(f"The note must be one line of at most {MAX_NOTE} characters.")
    return note.strip()
