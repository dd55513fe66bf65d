"""Controls for durations: people write ``1 h 30 min``, services take ``PT1H30M`` (ISO 8601)."""

import re
from decimal import Decimal
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.fields import MISSING, Make, Simple, described, is_empty
from easymlnb.types.moments import iso_duration

NO_DURATION = "The value must be a duration with units, such as 90 s, 1 h 30 min or 2 d."

UNITS = {
    "w": Decimal(604_800),
    "d": Decimal(86_400),
    "h": Decimal(3600),
    "min": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
SHOWN = ("d", "h", "min")
"""Units of a duration on the page, largest first; the rest is seconds."""

NAMES = {
    "w": "w wk wks week weeks",
    "d": "d day days",
    "h": "h hr hrs hour hours",
    "min": "m min mins minute minutes",
    "s": "s sec secs second seconds",
    "ms": "ms msec millisecond milliseconds",
}
UNIT_OF = {name: unit for unit, names in NAMES.items() for name in names.split()}

WRITTEN = re.compile(r"[+-]?\s*(?:\d{1,12}(?:\.\d{1,9})?\s*[a-z]+[\s,]*)+")
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
CLOCK = re.compile(r"([+-]?)(\d{1,6}):([0-5]\d):([0-5]\d(?:\.\d{1,9})?)")
ISO = re.compile(
    r"([+-]?)P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)
ISO_UNITS = ("w", "d", "h", "min", "s")


def duration_control(node: SchemaNode, make: Make) -> Simple:
    """A duration, typed with its units or in ISO 8601."""
    widget = W.Text(placeholder="1 h 30 min", continuous_update=False, **described(node))

    def read() -> Any:
        typed = widget.value.strip()
        if not typed:
            return MISSING
        try:
            return to_iso(typed)
        except ValueError:
            return typed  # ``problem`` reports it

    def write(value: Any) -> None:
        widget.value = "" if is_empty(value) else to_text(value)

    def problem() -> str | None:
        try:
            to_iso(widget.value.strip() or "0 s")
        except ValueError:
            return NO_DURATION
        return None

    return Simple(widget, read, write, problem=problem, state=lambda: widget.value)


def to_text(iso: str) -> str:
    """Return a duration as people write it; one with months or years as it is."""
    seconds = _iso_seconds(iso)
    if seconds is None:
        return iso
    sign, rest, parts = "-" if seconds < 0 else "", abs(seconds), []
    for unit in SHOWN:
        count, rest = divmod(rest, UNITS[unit])
        if count:
            parts.append(f"{count:f} {unit}")
    if rest or not parts:
        parts.append(f"{_plain(rest)} s")
    return sign + " ".join(parts)


def to_iso(text: str) -> str:
    """Return a duration in ISO 8601; raises ``ValueError`` for a text that is none."""
    if text.lstrip("+-")[:1].upper() == "P":
        return text.upper()  # the service checks it
    lower = text.lower()
    if found := CLOCK.fullmatch(lower):
        sign, hours, minutes, rest = found.groups()
        seconds = Decimal(hours) * 3600 + Decimal(minutes) * 60 + Decimal(rest)
        return _written(sign, seconds)
    if not WRITTEN.fullmatch(lower):
        raise ValueError(text)
    try:
        amounts = [(Decimal(n), UNITS[UNIT_OF[name]]) for n, name in AMOUNT.findall(lower)]
    except KeyError as error:
        raise ValueError(text) from error
    return _written(lower[0], sum((n * unit for n, unit in amounts), Decimal(0)))


def _iso_seconds(iso: str) -> Decimal | None:
    found = ISO.fullmatch(iso)
    if found is None:
        return None
    sign, *amounts = found.groups()
    pairs = zip(amounts, ISO_UNITS, strict=True)
    total = sum((Decimal(n) * UNITS[unit] for n, unit in pairs if n), Decimal(0))
    return -total if sign == "-" else total


def _written(sign: str, seconds: Decimal) -> str:
    whole, _, part = _plain(seconds).partition(".")
    return iso_duration("-" if sign == "-" else "", int(whole), part)


def _plain(number: Decimal) -> str:
    """Return a number without an exponent and without zeros at its end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
