"""The hint for a color."""

import re
from collections.abc import Iterator
from typing import Any

from easymlnb.types.base import Extra, Hint

PATTERN = "^#[0-9a-fA-F]{6}$"


class Color(Hint):
    """A color as ``#rrggbb``; the function gets lowercase letters."""

    source = str

    def __init__(self, *, label: str | None = None) -> None:
        self.label = label

    def __iter__(self) -> Iterator[object]:
        from pydantic import AfterValidator

        yield AfterValidator(_small)
        words: dict[str, Any] = {"title": self.label} if self.label else {}
        yield Extra(
            {"format": "color", "pattern": PATTERN, **words},
            {"widget": "color", "label": self.label},
        )


def _small(value: str) -> str:
    if not re.fullmatch(PATTERN[1:-1], value):
        raise ValueError("The value must be a color such as #1a2b3c.")
    return value.lower()
