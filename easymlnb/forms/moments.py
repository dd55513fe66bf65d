"""Controls for dates, times of day, and both with a time zone."""

import re
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.fields import MISSING, Make, Simple, described, is_empty

OFFSET = re.compile(r"([+-])(\d\d?)(?::?(\d\d))?")
NO_ZONE = "The time zone must be an offset such as +02:00, or a name such as Europe/Berlin."


def date_control(node: SchemaNode, make: Make) -> Simple:
    """A date."""
    widget = W.DatePicker(**described(node))

    def read() -> Any:
        return MISSING if widget.value is None else widget.value.isoformat()

    def write(value: Any) -> None:
        widget.value = None if is_empty(value) else date.fromisoformat(value)

    return Simple(widget, read, write)


def datetime_control(node: SchemaNode, make: Make) -> Simple:
    """A date and a time of day, with a time zone."""
    picker = W.NaiveDatetimePicker(**described(node))
    return _zoned(picker, datetime.fromisoformat, always=True)


def time_control(node: SchemaNode, make: Make) -> Simple:
    """A time of day; the time zone is shown only if a value has one."""
    return _zoned(W.TimePicker(step=1, **described(node)), time.fromisoformat, always=False)


def _zoned(picker: Any, parse: Callable[[str], Any], *, always: bool) -> Simple:
    zone = W.Text(
        description="Time zone",
        placeholder="none",
        tooltip="Empty, an offset such as +02:00, or a name such as Europe/Berlin",
        continuous_update=False,
    )
    both = W.box(*([picker, zone] if always else [picker]), kind=W.Box, classes="em-zoned")

    def read() -> Any:
        if picker.value is None:
            return MISSING
        text = picker.value.isoformat()
        try:
            return text + offset(zone.value, picker.value)
        except ValueError:
            return f"{text}{zone.value}"  # ``problem`` reports it

    def write(value: Any) -> None:
        parsed = None if is_empty(value) else parse(value)
        picker.value = None if parsed is None else parsed.replace(tzinfo=None)
        zone.value = "" if parsed is None or parsed.tzinfo is None else _zone_of(value)
        if zone.value and not always:
            both.children = (picker, zone)

    def problem() -> str | None:
        try:
            offset(zone.value, picker.value)
        except ValueError as error:
            return str(error)
        return None

    return Simple(both, read, write, problem=problem, state=lambda: (picker.value, zone.value))


def _zone_of(value: str) -> str:
    """Return the time zone of an ISO 8601 text."""
    found = re.search(r"(Z|[+-]\d\d(:?\d\d)?(:\d\d)?)$", value)
    return found[1] if found else "Z"


def offset(zone: str, at: Any) -> str:
    """Return a zone as ISO 8601 writes it after a time. Raises ``ValueError`` if it is invalid."""
    zone = zone.strip()
    if not zone:
        return ""
    if zone.upper() in ("Z", "UTC", "GMT"):
        return "Z"
    if (found := OFFSET.fullmatch(zone)) is not None:
        sign, hours, minutes = found.groups()
        return f"{sign}{int(hours):02}:{minutes or '00'}"
    if not isinstance(at, datetime):
        raise ValueError(NO_ZONE)
    try:
        # The offset of a named zone depends on the day.
        return at.replace(tzinfo=ZoneInfo(zone)).isoformat()[len(at.isoformat()) :]
    except (KeyError, ValueError, OSError):
        raise ValueError(NO_ZONE) from None
