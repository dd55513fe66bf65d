"""Keep secrets out of the log, and keep callers from filling it.

Jupyter and Tornado log URLs, referrers and headers of requests, so their lines are filtered too.
"""

import logging
import re
import time
from collections.abc import Callable
from urllib.parse import unquote_plus

SECRET = "[secret]"

LOGGED_PARAMETERS = frozenset(
    (
        *("author", "field", "input", "limit", "name", "offset", "owner", "q", "service", "sort"),
        *("start", "tag", "v", "whose"),
        # Of Jupyter's routes.
        *("_", "content", "dir", "format", "hash", "hub", "kernel_name", "page", "type", "ui"),
    )
)
"""Query parameters whose values are logged. All others are hidden: ``token`` has many spellings."""

_VALUE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~/-")
LONGEST_VALUE = 64

_QUERY = re.compile(r"\?\S+")
_KEY = re.compile(r"emnb(?:_|%5[Ff])[0-9A-Za-z%]+")
_LOGIN = re.compile(r"//[^/\s?#@]*@")
_LONG = re.compile(r"\S{401,}")
_QUOTED = re.compile(r":? b?['\"].*", re.DOTALL)

LONGEST_WORD = 400
LONGEST_LINE = 4000

BURST = 300
"""Lines that one call site may log at once."""
RATE = 5.0
"""Lines per second that it may log after that."""


def hide_keys(text: str) -> str:
    """Return a text without API keys."""
    return _KEY.sub(SECRET, text) if "emnb" in text else text


def scrub(text: str) -> str:
    """Return a shortened line without values in its URLs that may be secret."""
    text = hide_keys(text)
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
    harmless = len(value) <= LONGEST_VALUE and _VALUE.issuperset(value)
    if harmless and unquote_plus(name) in LOGGED_PARAMETERS:
        return part
    return f"{name[:LONGEST_VALUE]}={SECRET}"


class LogFilter(logging.Filter):
    """Scrubs lines, and drops lines of a call site that logs too many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._sites: dict[tuple[str, int], _CallSite] = {}

    def add_to_handlers(self) -> None:
        """Filter the lines of all handlers that exist now."""
        named = (logging.getLogger(name) for name in list(logging.root.manager.loggerDict))
        for logger in (logging.root, *named):
            for handler in logger.handlers:
                handler.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        passed = record.__dict__.get("easymlnb_passed")
        if passed is None:  # no other handler has filtered it yet
            passed = record.easymlnb_passed = self._scrub(record)
        return bool(passed)

    def _scrub(self, record: logging.LogRecord) -> bool:
        missed = 0
        if record.levelno > logging.DEBUG:
            key = (record.pathname, record.lineno)
            site = self._sites.get(key) or self._sites.setdefault(key, _CallSite(self._clock()))
            if not site.allows(self._clock()):
                return False
            missed, site.missed = site.missed, 0
        try:
            message = record.getMessage()
        except Exception:
            return True  # the handler reports the invalid arguments
        text = scrub(_QUOTED.sub("", message) if record.module == "http1connection" else message)
        if missed:
            text += f" ({missed} more lines like this were omitted)"
        if text != message:
            record.msg, record.args = text, None
        return True


class _CallSite:
    """A rate limit for one place in the code that logs."""

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._seen = now
        self.missed = 0

    def allows(self, now: float) -> bool:
        """Return whether one more line may be logged now."""
        self._left = min(self._left + (now - self._seen) * RATE, BURST)
        self._seen = now
        if self._left < 1:
            self.missed += 1
            return False
        self._left -= 1
        return True
