"""Hints for text: one line, many lines, a secret."""

from collections.abc import Iterator
from typing import Any, ClassVar

from easymlnb.types.base import Extra, Hint


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

    def __init__(
        self,
        *,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: str | None = None,
        label: str | None = None,
        placeholder: str | None = None,
    ) -> None:
        self.min_length = min_length
        self.max_length = max_length
        self.pattern = pattern
        self.label = label
        self.placeholder = placeholder

    def keywords(self) -> dict[str, Any]:
        return {"title": self.label} if self.label else {}

    def __iter__(self) -> Iterator[object]:
        from pydantic import StringConstraints

        # The regular expression is anchored: a form's user expects it to describe all of the text.
        pattern = f"^(?:{self.pattern})$" if self.pattern else None
        if pattern or self.min_length is not None or self.max_length is not None:
            yield StringConstraints(
                min_length=self.min_length, max_length=self.max_length, pattern=pattern
            )
        own = {"widget": self.widget, "label": self.label, "placeholder": self.placeholder}
        yield Extra(self.keywords(), own)


class LongText(Text):
    """Text of many lines; options are those of ``Text``."""

    widget = "longtext"


class Secret(Text):
    """Text that the form hides while it is typed; options are those of ``Text``.

    It has no other protection. Its default is not written into the schema.
    """

    widget = "secret"

    def keywords(self) -> dict[str, Any]:
        return {**super().keywords(), "format": "password", "writeOnly": True}
