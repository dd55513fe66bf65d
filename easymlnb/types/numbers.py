"""Hints for numbers: a field, a slider, an interval."""

import math
from collections.abc import Iterator
from typing import Any

from easymlnb.types.base import KEY, Extra, Hint

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How numbers that JSON cannot write travel where they are declared."""


def _check_order(low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        raise ValueError(f"low ({low}) must not be greater than high ({high}).")


class Number(Hint):
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

    def __init__(
        self,
        low: float | None = None,
        high: float | None = None,
        step: float | None = None,
        *,
        allow_nan: bool = False,
        log: bool = False,
        unit: str | None = None,
        label: str | None = None,
    ) -> None:
        _check_order(low, high)
        self.low = low
        self.high = high
        self.step = step
        self.allow_nan = allow_nan
        self.log = log
        self.unit = unit
        self.label = label

    def own(self) -> dict[str, Any]:
        return {
            "widget": "number",
            "step": self.step,
            "log": self.log or None,
            "unit": self.unit,
            "label": self.label,
        }

    def __iter__(self) -> Iterator[object]:
        from annotated_types import Ge, Le

        if self.allow_nan:
            yield from _not_finite()
        if self.low is not None:
            yield Ge(self.low)
        if self.high is not None:
            yield Le(self.high)
        yield Extra({"title": self.label} if self.label else {}, self.own())


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

    def own(self) -> dict[str, Any]:
        return {**super().own(), "widget": "slider"}


class Interval(Hint):
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

    def __init__(
        self,
        low: float | None = None,
        high: float | None = None,
        step: float | None = None,
        *,
        unit: str | None = None,
        label: str | None = None,
    ) -> None:
        _check_order(low, high)
        self.low = low
        self.high = high
        self.step = step
        self.unit = unit
        self.label = label

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
        yield _Ends(self)

    def own(self) -> dict[str, Any]:
        return {
            "widget": "interval",
            "low": self.low,
            "high": self.high,
            "step": self.step,
            "unit": self.unit,
            "label": self.label,
        }


class _Ends(Extra):
    """Writes an interval's bounds at both of its numbers."""

    def __init__(self, interval: Interval) -> None:
        super().__init__({"title": interval.label} if interval.label else {}, interval.own())
        bounds = {"minimum": interval.low, "maximum": interval.high}
        self.bounds = {key: value for key, value in bounds.items() if value is not None}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        found = super().__get_pydantic_json_schema__(schema, handler)
        ends = [{**end, **self.bounds} for end in found.get("prefixItems", ())]
        return {**found, "prefixItems": ends, KEY: found[KEY]}
