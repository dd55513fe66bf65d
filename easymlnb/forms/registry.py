"""The table of controls for the kinds of values."""

from collections.abc import Callable

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import choices, containers, durations, files, moments, rows, scalars, unions
from easymlnb.forms.fields import Control, Field, Make
from easymlnb.forms.shared_style import is_full
from easymlnb.forms.widget_kinds import widget_kind

WIDGETS: dict[str, Callable[[SchemaNode, Make], Control]] = {
    "text": scalars.text,
    "longtext": scalars.longtext,
    "secret": scalars.secret,
    "number": scalars.number,
    "slider": scalars.slider,
    "interval": scalars.interval,
    "checkbox": scalars.checkbox,
    "date": moments.date_control,
    "datetime": moments.datetime_control,
    "time": moments.time_control,
    "duration": durations.duration_control,
    "color": scalars.color,
    "const": scalars.const,
    "json": scalars.json_value,
    "array": unions.array,
    "choice": choices.choice,
    "choices": choices.choices,
    "file": files.picker("file"),
    "image": files.picker("image"),
    "webcam": files.picker("webcam"),
    "audio": files.picker("audio"),
    "table": files.picker("table"),
    "timeseries": files.picker("timeseries"),
    "object": containers.Group,
    "tuple": containers.Tuple,
    "optional": containers.Optional,
    "list": rows.Rows,
    "dict": rows.Map,
    "union": unions.Union,
}
"""By the author's hint (``x-easymlnb.widget``) or by the schema (``widget_kind``)."""

NO_CHECKBOX = containers.EMPTIABLE | {"const", "optional"}
"""Kinds that need no checkbox to leave the value out if the schema has no default."""


CONTAINERS = frozenset(("object", "tuple", "optional", "list", "dict", "union"))
"""Kinds that hold other fields."""


def register(kind: str, maker: Callable[[SchemaNode, Make], Control]) -> None:
    """Add a widget for a hint, or replace an existing one.

    Parameters
    ----------
    kind : str
        Name of the widget, as in ``{"x-easymlnb": {"widget": kind}}`` of a schema.
    maker : callable
        ``maker(node, make)`` returns a control for one value, usually a ``Simple``. ``node`` is the
        value's schema (``title``, ``default``, ``hint(name)``); ``make(node, required)`` makes the
        field of a part.
    """
    WIDGETS[kind] = maker


def kind_of(node: SchemaNode) -> str:
    """Return the name of the widget: that of a known hint, else the schema's."""
    hint = node.hint("widget")
    return hint if hint in WIDGETS and not node.nullable else widget_kind(node)


def make(node: SchemaNode, required: bool) -> Field:
    """Return the field of one value."""
    kind = kind_of(node)
    if not required and not node.has_default and kind not in NO_CHECKBOX:
        kind = "optional"
    if kind in CONTAINERS and is_full():
        kind = "json"
    return Field(node, WIDGETS[kind](node, make), required=required)
