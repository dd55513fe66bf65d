"""The fields of a service's metadata, each with the check that returns its JSON value."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from easymlnb.contract import units

THUMBNAIL_LIMIT = 64 * 1024
"""Longest thumbnail, as a data URI, in characters."""

_DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>]+\Z")
_DOI_PREFIX = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s*)", re.IGNORECASE)
_BASE64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"
_THUMBNAIL = re.compile(rf"data:image/(?:webp|png|jpeg);base64,{_BASE64}\Z")


def _text(most: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if not text or len(text) > most or not text.isprintable():
            raise ValueError(f"The value must be one line of text with at most {most} characters.")
        return text

    return check


def _prose(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 50_000:
        raise ValueError("The value must be a text with at most 50,000 characters.")
    return value.strip()


def _texts(value: Any) -> list[str]:
    check = _text(60)
    if isinstance(value, str) or not isinstance(value, list | tuple) or len(value) > 30:
        raise ValueError("The value must be a list of at most 30 texts.")
    return list(dict.fromkeys(check(text) for text in value))


def _day(value: Any) -> str:
    # YAML parses unquoted dates.
    text = value.isoformat()[:10] if isinstance(value, date) else value
    try:
        return date.fromisoformat(text).isoformat()
    except (ValueError, TypeError):
        raise ValueError("The value must be a date such as 2026-03-31.") from None


def _address(value: Any) -> str:
    good = isinstance(value, str) and re.match(r"https?://[^\s\"<>\\]+\Z", value.strip())
    if not good or len(value) > 2000:
        raise ValueError("The value must be a URL that starts with https:// or http://.")
    return str(value.strip())


def _doi(value: Any) -> str:
    bare = _DOI_PREFIX.sub("", value.strip()) if isinstance(value, str) else ""
    if not _DOI.match(bare) or len(bare) > 300:
        raise ValueError("The value must be a DOI such as 10.5281/zenodo.1234567.")
    return bare


def _thumbnail(value: Any) -> str:
    if not isinstance(value, str) or len(value) > THUMBNAIL_LIMIT or not _THUMBNAIL.match(value):
        raise ValueError(
            "The value must be the path of an image (PNG, JPEG or WebP) in the notebook's folder."
        )
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 10_000:
        raise ValueError("The value must be a whole number of at least 0.")
    return value


def _size(value: Any) -> int:
    try:
        return 0 if value == 0 else units.parse_size(value)
    except ValueError:
        raise ValueError("The value must be a size such as '4 GB', or a number of bytes.") from None


def _resources(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise ValueError(f"The value must have the fields {', '.join(_RESOURCES)}.")
    resources = {}
    for key, amount in value.items():
        if key not in _RESOURCES:
            raise ValueError(
                f"Unknown field {str(key)[:40]!r}. Known fields: {', '.join(_RESOURCES)}."
            )
        try:
            resources[str(key)] = _RESOURCES[key](amount)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return resources


_RESOURCES: dict[str, Callable[[Any], int]] = {
    "cpu": _count,
    "memory": _size,
    "gpu": _count,
    "gpu_memory": _size,
    "storage": _size,
}
FIELDS: dict[str, Callable[[Any], Any]] = {
    "title": _text(200),
    "description": _prose,
    "author": _text(500),
    "license": _text(200),
    "tags": _texts,
    "summary": _text(300),
    "date": _day,
    "citation": _text(2000),
    "doi": _doi,
    "dataset": _address,
    "source": _address,
    "documentation": _address,
    "libraries": _texts,
    "tasks": _texts,
    "resources": _resources,
    "thumbnail": _thumbnail,
}
"""The check of each field: returns the JSON value, or raises ``ValueError``."""
