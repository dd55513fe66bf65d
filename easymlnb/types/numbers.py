"""Hints for numbers: a field, a slider, an interval."""

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

from easymlnb.types.base import Extra, Hint

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""JSON strings for the numbers that JSON lacks, where a hint allows them."""


@dataclass(eq=False)
class _Bounded(Hint):
    """The bounds and step of one or two numbers."""

    low: float | None = None
    high: float | None = None
    step: float | None = None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low ({self.low}) must not be greater than high ({self.high}).")


@dataclass(eq=False)
class Number(_Bounded):
    """A number, by default any finite one; a ``float``, or the annotated ``int``.

    Parameters
    ----------
    low, high : float, optional
        Bounds, both included.
    step : float, optional
        Step of the form's arrows.
    allow_nan : bool, default False
        Accept and return NaN and infinity as ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
    log : bool, default False
        Space a slider by orders of magnitude.
    unit : str, optional
        Shown after the number, such as ``"kW"``.
    label : str, optional
        Label of the field. Default: the parameter's name in words.

    Raises
    ------
    ValueError
        ``low`` is greater than ``high``.
    """

    source = float
    widget = "number"

    _: KW_ONLY
    allow_nan: bool = False
    log: bool = False
    unit: str | None = None
    label: str | None = None

    def __iter__(self) -> Iterator[object]:
        from annotated_types import Ge, Le

        if self.allow_nan:
            yield from _not_finite()
        if self.low is not None:
            yield Ge(self.low)
        if self.high is not None:
            yield Le(self.high)
        own = {"step": self.step, "log": self.log or None, "unit": self.unit, "label": self.label}
        yield Extra({"widget": self.widget, **own})


def _not_finite() -> Iterator[object]:
    from pydantic import AllowInfNan, BeforeValidator, PlainSerializer, WithJsonSchema

    yield AllowInfNan(True)
    yield BeforeValidator(_from_word)
    yield PlainSerializer(_to_word, when_used="json")
    yield WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(NOT_FINITE)}]})


def _from_word(value: Any) -> Any:
    return NOT_FINITE.get(value, value) if isinstance(value, str) else value


def _to_word(value: float) -> Any:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class Slider(Number):
    """A number between two bounds, both included, picked with a slider.

    Parameters are those of ``Number`` without ``allow_nan``. With ``log``, ``low`` must be greater
    than zero, else a ``ValueError`` is raised.
    """

    widget = "slider"

    def __init__(
        self,
        low: float,
        high: float,
        step: float | None = None,
        *,
        log: bool = False,
        unit: str | None = None,
        label: str | None = None,
    ) -> None:
        if log and low <= 0:
            raise ValueError(f"A logarithmic slider requires low greater than zero, not {low}.")
        super().__init__(low, high, step, log=log, unit=unit, label=label)


@dataclass(eq=False)
class Interval(_Bounded):
    """Two numbers ``[from, to]``, the first not greater than the second.

    For ``tuple[float, float]`` (the default) or ``tuple[int, int]``. The form has one slider with
    two ends.

    Parameters
    ----------
    low, high : float, optional
        Bounds of both numbers, included.
    step : float, optional
        Step of the slider.
    unit, label : str, optional
        As in ``Number``.
    """

    source = tuple[float, float]

    _: KW_ONLY
    unit: str | None = None
    label: str | None = None

    def check(self, value: Any) -> Any:
        start, end = value
        if start > end:
            raise ValueError("The first number must not be greater than the second.")
        if self.low is not None and start < self.low:
            raise ValueError(f"Both numbers must be at least {self.low}.")
        if self.high is not None and end > self.high:
            raise ValueError(f"Both numbers must be at most {self.high}.")
        return value

    def __iter__(self) -> Iterator[object]:
        from pydantic import AfterValidator

        yield AfterValidator(self.check)
        bounds = {"minimum": self.low, "maximum": self.high}
        yield Extra(
            {"widget": "interval", **vars(self)},
            entries={key: value for key, value in bounds.items() if value is not None},
        )
