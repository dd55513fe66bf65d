"""Durations in forms: typed and shown with units, sent in ISO 8601."""

import datetime as dt

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms.durations import NO_DURATION, to_iso, to_text
from easymlnb.forms.fields import MISSING
from easymlnb.forms.registry import make


def node_of(**more: str) -> SchemaNode:
    return SchemaNode({"type": "string", "format": "duration", **more}, {}, "wait")


def iso(duration: dt.timedelta) -> str:
    return str(msgspec.to_builtins(duration))


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("90 s", "PT1M30S"),
        ("1.5 h", "PT1H30M"),
        ("1h30min", "PT1H30M"),
        ("1 hour, 5 minutes", "PT1H5M"),
        ("2 d 3 h", "P2DT3H"),
        ("1 w", "P7D"),
        ("250 ms", "PT0.25S"),
        ("-10 min", "-PT10M"),
        ("1:02:03.5", "PT1H2M3.5S"),
        ("0 s", "PT0S"),
        ("pt1h", "PT1H"),
    ],
)
def test_what_people_write_is_understood(typed: str, sent: str) -> None:
    assert to_iso(typed) == sent
    assert isinstance(msgspec.convert(sent, dt.timedelta), dt.timedelta)


@pytest.mark.parametrize("typed", ["90", "1 year", "soon", "1:30", "1 h x", "h", "1e3 s", "1,5 h"])
def test_what_is_no_duration_is_said_at_the_field(typed: str) -> None:
    field = make(node_of(title="Wait"), True)
    field.control.widget.value = typed
    assert not field.check()
    assert NO_DURATION in field._error.value


@given(st.timedeltas())
@example(dt.timedelta.max)
@example(dt.timedelta.min)
def test_any_duration_is_shown_and_read_back(duration: dt.timedelta) -> None:
    shown = to_text(iso(duration))
    assert msgspec.convert(to_iso(shown), dt.timedelta) == duration


def test_a_field_shows_its_default_with_units() -> None:
    node = node_of(default="PT1H")
    field = make(node, False)
    assert field.control.widget.value == "1 h"
    assert field.get() == "PT1H"
    field.control.widget.value = "2 d"
    assert field.get() == "P2D"
    field.set("P1Y2M")  # not a number of seconds
    assert (field.control.widget.value, field.get()) == ("P1Y2M", "P1Y2M")
    field.set(MISSING)
    assert field.get() is MISSING
