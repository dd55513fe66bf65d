"""Hints for text: one line, many lines, a secret, a color."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from easymlnb.types.base import Extra, Hint


@dataclass(eq=False, kw_only=True)
class Text(Hint):
    """One line of text.

    Parameters
    ----------
    min_length, max_length : int, optional
        Number of characters.
    pattern : str, optional
        Regular expression that the whole text must match.
    label, placeholder : str, optional
        Texts for the form.
    """

    source = str
    widget: ClassVar[str] = "text"
    keywords: ClassVar[dict[str, Any]] = {}

    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    label: str | None = None
    placeholder: str | None = None

    def __iter__(self) -> Iterator[object]:
        from pydantic import StringConstraints

        # The pattern must match the whole text.
        pattern = f"^(?:{self.pattern})$" if self.pattern else None
        if pattern or self.min_length is not None or self.max_length is not None:
            yield StringConstraints(
                min_length=self.min_length, max_length=self.max_length, pattern=pattern
            )
        own = {"widget": self.widget, "label": self.label, "placeholder": self.placeholder}
        yield Extra(own, self.keywords)


class LongText(Text):
    """Text of many lines; options are those of ``Text``."""

    widget = "longtext"


class Secret(Text):
    """Text that the form hides while it is typed; options are those of ``Text``.

    It has no other protection. Its default is not written into the schema.
    """

    widget = "secret"

    keywords: ClassVar[dict[str, Any]] = {"format": "password", "writeOnly": True}


COLOR = "^#[0-9a-fA-F]{6}$"


@dataclass(eq=False, kw_only=True)
class Color(Hint):
    """A color as ``#rrggbb``; the function gets lowercase letters."""

    source = str

    label: str | None = None

    def __iter__(self) -> Iterator[object]:
        from pydantic import AfterValidator

        yield AfterValidator(_lowercase)
        own = {"widget": "color", "label": self.label}
        yield Extra(own, {"format": "color", "pattern": COLOR})


def _lowercase(value: str) -> str:
    if not re.fullmatch(COLOR[1:-1], value):
        raise ValueError("The value must be a color such as #1a2b3c.")
    return value.lower()
