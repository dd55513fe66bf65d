"""Hints for picking from given options: one, or several."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from easymlnb.types.base import Extra, Hint

Option = str | int | float | bool


class _Options(Hint):
    """Values to choose from, and their labels if these differ from the values."""

    def __init__(self, options: Sequence[Option] | Mapping[str, Option], label: str | None) -> None:
        self.values = list(options.values()) if isinstance(options, Mapping) else list(options)
        texts = [str(value) for value in self.values]
        words = list(options) if isinstance(options, Mapping) else texts
        self.labels = words if words != texts else None
        self.label = label
        if not self.values:
            raise ValueError("Give at least one option to choose from.")
        wrong = [value for value in self.values if not isinstance(value, str | int | float)]
        if wrong:
            raise ValueError(f"Options must be strings or numbers, not {type(wrong[0]).__name__}.")
        if len(set(self.values)) != len(self.values):
            raise ValueError("Each option may occur only once.")

    def option_type(self) -> Any:
        """Return the type that all options have in common."""
        kinds = {type(value) for value in self.values}
        if kinds == {int, float}:
            return float
        return kinds.pop() if len(kinds) == 1 else Any

    def listed(self) -> str:
        """Return the options for a message."""
        more = ", ..." if len(self.values) > 20 else ""
        return ", ".join(map(str, self.values[:20])) + more


class Choice(_Options):
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
        super().__init__(options, label)
        self.source = self.option_type()  # type: ignore[misc] # each choice has its own

    def check(self, value: Any) -> Any:
        if value not in self.values:
            raise ValueError(f"The value must be one of: {self.listed()}.")
        return value

    def __iter__(self) -> Iterator[object]:
        from pydantic import AfterValidator

        yield AfterValidator(self.check)
        own = {"widget": "choice", "labels": self.labels, "label": self.label}
        yield Extra(own, {"enum": self.values})


class MultipleChoice(_Options):
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
        super().__init__(options, label)
        self.min_count = min_count
        self.max_count = len(self.values) if max_count is None else max_count
        if not 0 <= self.min_count <= self.max_count:
            raise ValueError("min_count must be from zero to max_count.")
        option = self.option_type()
        self.source = list[option]  # type: ignore[misc,valid-type] # each choice has its own

    def check(self, value: Any) -> Any:
        chosen = list(value)
        if any(item not in self.values for item in chosen):
            raise ValueError(f"Each entry must be one of: {self.listed()}.")
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
        own = {"widget": "choices", "labels": self.labels, "label": self.label}
        counts = {"minItems": self.min_count, "maxItems": self.max_count, "uniqueItems": True}
        yield Extra(own, counts, entries={"enum": self.values})
