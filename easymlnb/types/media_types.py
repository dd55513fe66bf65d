"""Media types: matching them, and choosing one by an ``Accept`` header."""

from collections.abc import Iterable
from email.message import Message

JSON = "application/json"


def strip_parameters(media_type: str) -> str:
    """Return a media type in lower case without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def charset(media_type: str) -> str:
    """Return the charset that a media type names, or an empty string."""
    if ";" not in media_type:
        return ""
    message = Message()
    message["content-type"] = media_type
    return str(message.get_content_charset(""))


def matches(media_type: str, pattern: str) -> bool:
    """Tell whether ``pattern`` (``image/png``, ``image/*``, ``*/*``) covers a bare media type."""
    if pattern in ("*/*", media_type):
        return True
    return pattern.endswith("/*") and media_type.startswith(pattern[:-1])


def covered(media_type: str, patterns: Iterable[str]) -> bool:
    return any(matches(media_type, pattern) for pattern in patterns)


def _parse_accept(accept: str) -> list[tuple[str, float]]:
    found = []
    for item in accept.split(","):
        name, *parameters = item.split(";")
        if not name.strip():
            continue
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                try:
                    quality = min(1.0, max(0.0, float(value)))
                except ValueError:
                    quality = 0.0
        found.append((name.strip().lower(), quality))
    return found


def _quality(media_type: str, wishes: list[tuple[str, float]]) -> float:
    """The most specific wish decides (RFC 9110): ``image/*;q=0`` loses to ``image/png``."""
    best = (-1, 0.0)
    for pattern, quality in wishes:
        if matches(media_type, pattern):
            best = max(best, (2 - pattern.count("*"), quality))
    return best[1]


def choose(accept: str, offered: Iterable[str]) -> str | None:
    """Return which of ``offered`` (preferred first) ``accept`` likes best; ``None`` if none.

    No header, or one without any media type, takes the first.
    """
    wishes = _parse_accept(accept) or [("*/*", 1.0)]
    best, found = 0.0, None
    for media_type in offered:
        quality = _quality(media_type, wishes)
        if quality > best:
            best, found = quality, media_type
    return found
