"""Parse and format sizes and durations, such as ``"2G"`` and ``"10m"``."""

import re

_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_TIMES = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]*)\Z")


def parse_size(value: object) -> int:
    """Return a size in bytes from a number or a text such as ``"500M"``, ``"2 GB"``, ``"1GiB"``.

    Each unit is 1024 times the one below. Raises ``ValueError`` for anything else, and for 0.
    """
    if isinstance(value, str) and (match := _TEXT.match(value.strip())):
        unit = match[2].upper().removesuffix("IB" if match[2].upper().endswith("IB") else "B")
        if unit in _SIZES:
            value = int(float(match[1]) * _SIZES[unit])
    if type(value) is not int or value < 1:
        raise ValueError(f"Invalid size {value!r}: use bytes or a string such as '500M' or '2G'.")
    return value


def parse_duration(value: object) -> float:
    """Return seconds from a number or a text such as ``"30s"``, ``"10m"``, ``"1h"``.

    Raises ``ValueError`` for anything else, and for negative or infinite numbers.
    """
    if isinstance(value, str) and (match := _TEXT.match(value.strip())) and match[2] in _TIMES:
        value = float(match[1]) * _TIMES[match[2]]
    if type(value) not in (int, float) or not 0 <= value < float("inf"):  # type: ignore[operator]
        raise ValueError(
            f"Invalid duration {value!r}: use seconds or a string such as '30s' or '10m'."
        )
    return float(value)  # type: ignore[arg-type]


def format_seconds(seconds: float) -> str:
    """Return seconds as text, such as ``3 s``."""
    return f"{round(seconds, 2 if seconds >= 1 else 3):.15g} s"


def format_size(size: int) -> str:
    """Return a number of bytes as text, such as ``1.5 GB``."""
    for unit, factor in (("GB", 2**30), ("MB", 2**20)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
