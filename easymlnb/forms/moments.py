"""Controls for dates, times of day, and both with a time zone."""

import re
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import lean as W
from easymlnb.forms.fields import MISSING, Make, Simple

OFFSET = re.compile(r"([+-])(\d\d?)(?::?(\d\d))?")
NO_ZONE = "The time zone must be an offset such as +02:00, or a name such as Europe/Berlin."


def day(node: SchemaNode, make: Make) -> Simple:
    """A date."""
    widget = W.DatePicker(**_words(node))

    def read() -> Any:
        return MISSING if widget.value is None else widget.value.isoformat()

    def put(value: Any) -> None:
        widget.value = None if _empty(value) else date.fromisoformat(value)

    return Simple(widget, read, put)


def moment(node: SchemaNode, make: Make) -> Simple:
    """A date and a time of day, and a time zone where one is meant."""
    picker = W.NaiveDatetimePicker(**_words(node))
    return _zoned(picker, datetime.fromisoformat, always=True)


def clock(node: SchemaNode, make: Make) -> Simple:
    """A time of day; its zone is shown only where a value has one."""
    return _zoned(W.TimePicker(step=1, **_words(node)), time.fromisoformat, always=False)


def _words(node: SchemaNode) -> dict[str, Any]:
    return {"description": node.title, "description_allow_html": False, "tooltip": node.help}


def _empty(value: Any) -> bool:
    return value is MISSING or value is None


def _zoned(picker: Any, parse: Callable[[str], Any], *, always: bool) -> Simple:
    zone = W.Text(
        description="Time zone",
        placeholder="none",
        tooltip="Empty, an offset such as +02:00, or a name such as Europe/Berlin",
        continuous_update=False,
    )
    both = W.Box([picker, zone] if always else [picker])
    both.add_class("em-zoned")

    def read() -> Any:
        if picker.value is None:
            return MISSING
        text = picker.value.isoformat()
        try:
            return text + offset(zone.value, picker.value)
        except ValueError:
            return f"{text}{zone.value}"  # refused in ``problem``

    def put(value: Any) -> None:
        found = None if _empty(value) else parse(value)
        picker.value = None if found is None else found.replace(tzinfo=None)
        zone.value = "" if found is None or found.tzinfo is None else _written(value)
        if zone.value and not always:
            both.children = (picker, zone)

    def problem() -> str | None:
        try:
            offset(zone.value, picker.value)
        except ValueError as error:
            return str(error)
        return None

    return Simple(both, read, put, problem=problem, state=lambda: (picker.value, zone.value))


def _written(value: str) -> str:
    """Return the zone of an ISO 8601 text as it is written there."""
    found = re.search(r"(Z|[+-]\d\d(:?\d\d)?(:\d\d)?)$", value)
    return found[1] if found else "Z"


def offset(zone: str, at: Any) -> str:
    """Return what ISO 8601 writes behind a time in a zone; raises ``ValueError`` for no zone."""
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
        # The offset of a name depends on the day.
        return at.replace(tzinfo=ZoneInfo(zone)).isoformat()[len(at.isoformat()) :]
    except (KeyError, ValueError, OSError):
        raise ValueError(NO_ZONE) from None
