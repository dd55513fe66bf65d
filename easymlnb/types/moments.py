"""numpy's times and durations as ISO 8601 text, in the same form as Python's."""

from typing import TYPE_CHECKING, Any

from easymlnb.types.base import is_a

if TYPE_CHECKING:
    import numpy as np

_SECONDS = {"W": 604_800, "D": 86_400, "h": 3600, "m": 60, "s": 1}
_DIGITS = {"ms": 3, "us": 6, "ns": 9, "ps": 12, "fs": 15, "as": 18}
"""Decimal digits of a second in numpy's units."""


def is_moment(kind: type) -> bool:
    """Say whether a class is numpy's for times or durations."""
    return is_a(kind, "numpy.datetime64", "numpy.timedelta64")


def text(value: Any) -> Any:
    """Return a time or duration as text, ``None`` for NaT."""
    import numpy as np

    return listed(np.asarray(value))


def listed(array: "np.ndarray[Any, Any]") -> Any:
    """Return an array of times or durations as nested lists of text, ``None`` for NaT.

    Durations without a unit remain numbers.
    """
    import numpy as np

    unit, count = np.datetime_data(array.dtype)
    if array.dtype.kind == "M":
        # Few parsers of ISO 8601 accept hours without minutes.
        full = array.astype("M8[s]") if unit in ("h", "m") else array
        return _each(np.datetime_as_string(full).tolist(), _time)
    gone = np.iinfo("int64").min
    return _each(
        array.astype("int64").tolist(),
        lambda number: None if number == gone else _duration(number * count, unit),
    )


def _each(values: Any, write: Any) -> Any:
    return [_each(value, write) for value in values] if isinstance(values, list) else write(values)


def _time(text: str) -> str | None:
    if text == "NaT":
        return None
    whole, point, part = text.partition(".")
    # Like Python: microseconds, unless there are none or smaller digits.
    part = part.ljust(6, "0") if len(part) <= 6 or part[6:].strip("0") else part[:6]
    return f"{whole}.{part}" if point and part.strip("0") else whole


def _duration(number: int, unit: str) -> Any:
    if unit == "generic":
        return number
    sign = "-" if number < 0 else ""
    if unit in ("Y", "M"):
        return f"{sign}P{abs(number)}{unit}"
    if unit in _SECONDS:
        seconds, part = abs(number) * _SECONDS[unit], ""
    else:
        seconds, rest = divmod(abs(number), 10 ** _DIGITS[unit])
        part = f"{rest:0{_DIGITS[unit]}d}".rstrip("0")
    return iso_duration(sign, seconds, part)


def iso_duration(sign: str, seconds: int, part: str = "") -> str:
    """Return a duration in ISO 8601; ``part`` are the decimals of its seconds."""
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    last = f"{seconds}.{part}" if part else str(seconds)
    clock = "".join(
        f"{value}{letter}" for value, letter in ((hours, "H"), (minutes, "M"), (last, "S"))
        if value not in (0, "0")
    )  # fmt: skip
    if not clock and not days:
        return "PT0S"
    return f"{sign}P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"
