"""Media types: matching them, and choosing one by an ``Accept`` header."""

from collections.abc import Iterable
from email.message import Message

from easymlnb.contract.file_parameters import matches

JSON = "application/json"


def strip_parameters(media_type: str) -> str:
    """Return a media type in lowercase without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def charset(media_type: str) -> str:
    """Return the charset of a media type, or an empty string."""
    if ";" not in media_type:
        return ""
    message = Message()
    message["content-type"] = media_type
    return str(message.get_content_charset(""))


def covered(media_type: str, patterns: Iterable[str]) -> bool:
    return any(matches(media_type, pattern) for pattern in patterns)


def _parse_accept(accept: str) -> list[tuple[str, float]]:
    ranges = []
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
        ranges.append((name.strip().lower(), quality))
    return ranges


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """Return the quality of the most specific range (RFC 9110)."""
    best = (-1, 0.0)
    for pattern, quality in ranges:
        if matches(media_type, pattern):
            best = max(best, (2 - pattern.count("*"), quality))
    return best[1]


def choose(accept: str, offered: Iterable[str]) -> str | None:
    """Return the best of ``offered`` (preferred first) for an ``Accept`` header, or ``None``.

    An empty header accepts all media types.
    """
    ranges = _parse_accept(accept) or [("*/*", 1.0)]
    best, chosen = 0.0, None
    for media_type in offered:
        quality = _quality(media_type, ranges)
        if quality > best:
            best, chosen = quality, media_type
    return chosen
