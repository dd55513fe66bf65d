"""What callers send must neither bring secrets into the log nor fill it.

Addresses, referrers and headers come from anybody and end up in lines that Jupyter and Tornado
write. So the lines themselves are looked at, on their way to wherever they are written.
"""

import logging
import re
import time
from collections.abc import Callable
from urllib.parse import unquote_plus

SECRET = "[secret]"

PLAIN = frozenset(
    (
        *("author", "field", "input", "limit", "name", "offset", "owner", "q", "service", "sort"),
        *("start", "tag", "v", "whose"),
        # Of Jupyter's own routes.
        *("_", "content", "dir", "format", "hash", "hub", "kernel_name", "page", "type", "ui"),
    )
)
"""Query parameters whose values are written. Those of all others are not, whatever they are called:
there are too many ways to spell ``token``."""

_VALUE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~/-")
LONGEST_VALUE = 64

_QUERY = re.compile(r"\?\S+")
_LOGIN = re.compile(r"//[^/\s?#@]*@")
_LONG = re.compile(r"\S{401,}")
_QUOTED = re.compile(r":? b?['\"].*", re.DOTALL)

LONGEST_WORD = 400
LONGEST_LINE = 4000

BURST = 300
"""Lines that one place in the code may write at once."""
RATE = 5.0
"""Lines per second that it may write after that."""


def scrub(text: str) -> str:
    """Return a line without the values in its addresses that may be secret, and not too long."""
    if "?" in text:
        text = _QUERY.sub(lambda found: "?" + _query(found[0][1:]), text)
    if "@" in text:
        text = _LOGIN.sub(f"//{SECRET}@", text)
    if len(text) > LONGEST_WORD:
        text = _LONG.sub(lambda found: f"{found[0][:LONGEST_WORD]}...", text)
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}..."


def _query(query: str) -> str:
    return "&".join(_parameter(part) for part in query[: 2 * LONGEST_LINE].split("&"))


def _parameter(part: str) -> str:
    name, equals, value = part.partition("=")
    if not equals:
        return name if name.isdigit() or not name else SECRET
    if unquote_plus(name) in PLAIN and len(value) <= LONGEST_VALUE and _VALUE.issuperset(value):
        return part
    return f"{name[:LONGEST_VALUE]}={SECRET}"


class Careful(logging.Filter):
    """Scrubs lines, and leaves out those of which there are too many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._places: dict[tuple[str, int], _Place] = {}

    def watch_all(self) -> None:
        """Look at what goes to any handler that there is now."""
        named = (logging.getLogger(name) for name in list(logging.root.manager.loggerDict))
        for logger in (logging.root, *named):
            for handler in logger.handlers:
                handler.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        kept = record.__dict__.get("easymlnb_kept")
        if kept is None:  # else another handler had it before
            kept = record.easymlnb_kept = self._look(record)
        return bool(kept)

    def _look(self, record: logging.LogRecord) -> bool:
        missed = 0
        if record.levelno > logging.DEBUG:
            key = (record.pathname, record.lineno)
            place = self._places.get(key) or self._places.setdefault(key, _Place(self._clock()))
            if not place.takes(self._clock()):
                return False
            missed, place.missed = place.missed, 0
        try:
            said = record.getMessage()
        except Exception:
            return True  # whoever writes it tells what is wrong with it
        text = scrub(_QUOTED.sub("", said) if record.module == "http1connection" else said)
        if missed:
            text += f" ({missed} more lines like this were omitted)"
        if text != said:
            record.msg, record.args = text, None
        return True


class _Place:
    """One place in the code that writes lines."""

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._seen = now
        self.missed = 0

    def takes(self, now: float) -> bool:
        """Say whether one more line may be written now."""
        self._left = min(self._left + (now - self._seen) * RATE, BURST)
        self._seen = now
        if self._left < 1:
            self.missed += 1
            return False
        self._left -= 1
        return True
