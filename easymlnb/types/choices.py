"""Hints for picking from given options: one, or several."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from easymlnb.types.base import KEY, Extra, Hint

Option = str | int | float | bool


def _options(options: Sequence[Option] | Mapping[str, Option]) -> tuple[list[Option], list[str]]:
    """Return the values and the words they are shown with."""
    values = list(options.values()) if isinstance(options, Mapping) else list(options)
    words = list(options) if isinstance(options, Mapping) else [str(value) for value in values]
    if not values:
        raise ValueError("Give at least one option to choose from.")
    wrong = [value for value in values if not isinstance(value, str | int | float)]
    if wrong:
        raise ValueError(f"Options must be strings or numbers, not {type(wrong[0]).__name__}.")
    if len(set(values)) != len(values):
        raise ValueError("Each option may occur only once.")
    return values, words


def _source(values: Sequence[Option]) -> Any:
    """Return the hint that all options have in common."""
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return float
    return kinds.pop() if len(kinds) == 1 else Any


def _said(values: Sequence[Option]) -> str:
    shown = ", ".join(str(value) for value in values[:20])
    return f"{shown}, ..." if len(values) > 20 else shown


class Choice(Hint):
    """One of several options that are known only at run time.

    ``Literal[...]`` and ``Enum`` hints need no marker.

    Parameters
    ----------
    options : sequence or mapping
        Texts, numbers or booleans, or a dict from labels to such values.
    label : str, optional
        Label of the field.

    Raises
    ------
    ValueError
        No options, duplicate options, or an option of another type.
    """

    def __init__(
        self, options: Sequence[Option] | Mapping[str, Option], *, label: str | None = None
    ) -> None:
        self.values, self.words = _options(options)
        self.label = label
        self.source = _source(self.values)  # type: ignore[misc] # each choice has its own

    def check(self, value: Any) -> Any:
        if value not in self.values:
            raise ValueError(f"The value must be one of: {_said(self.values)}.")
        return value

    def __iter__(self) -> Iterator[object]:
        from pydantic import AfterValidator

        own = {
            "widget": "choice",
            "labels": self.words if self.words != [str(v) for v in self.values] else None,
            "label": self.label,
        }
        yield AfterValidator(self.check)
        yield Extra({"enum": self.values, **({"title": self.label} if self.label else {})}, own)


class MultipleChoice(Hint):
    """Several of the options, each at most once, as a list in the order given.

    Parameters
    ----------
    options : sequence or mapping
        As in ``Choice``.
    min_count : int, default 0
    max_count : int, optional
        Default: the number of options.
    label : str, optional
        Label of the field.

    Raises
    ------
    ValueError
        Invalid options, or ``min_count`` is not from 0 to ``max_count``.
    """

    def __init__(
        self,
        options: Sequence[Option] | Mapping[str, Option],
        *,
        min_count: int = 0,
        max_count: int | None = None,
        label: str | None = None,
    ) -> None:
        self.values, self.words = _options(options)
        self.min_count = min_count
        self.max_count = len(self.values) if max_count is None else max_count
        if not 0 <= self.min_count <= self.max_count:
            raise ValueError("min_count must be from zero to max_count.")
        self.label = label
        inner = _source(self.values)
        self.source = list[inner]  # type: ignore[misc,valid-type] # each choice has its own

    def check(self, value: Any) -> Any:
        chosen = list(value)
        if any(item not in self.values for item in chosen):
            raise ValueError(f"Each entry must be one of: {_said(self.values)}.")
        if len(set(chosen)) != len(chosen):
            raise ValueError("Each entry may be chosen only once.")
        if len(chosen) < self.min_count:
            raise ValueError(f"Choose at least {self.min_count} options.")
        if len(chosen) > self.max_count:
            raise ValueError(f"Choose at most {self.max_count} options.")
        return value

    def __iter__(self) -> Iterator[object]:
        from pydantic import AfterValidator

        yield AfterValidator(self.check)
        yield _Entries(self)


class _Entries(Extra):
    """Writes the options at the entries of a list."""

    def __init__(self, choice: MultipleChoice) -> None:
        words = choice.words if choice.words != [str(v) for v in choice.values] else None
        own = {"widget": "choices", "labels": words, "label": choice.label}
        counts = {"minItems": choice.min_count, "maxItems": choice.max_count, "uniqueItems": True}
        super().__init__({**counts, **({"title": choice.label} if choice.label else {})}, own)
        self.values = choice.values

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        found = super().__get_pydantic_json_schema__(schema, handler)
        return {**found, "items": {**found.get("items", {}), "enum": self.values}, KEY: found[KEY]}
