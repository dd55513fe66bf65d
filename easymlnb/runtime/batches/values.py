"""Turn the cells of a row into the checked arguments of a call."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.jsonschema import branches, properties, required
from easymlnb.runtime.batches.csv_source import with_point
from easymlnb.runtime.batches.plan import FILES, Plan
from easymlnb.services.schema import Schema
from easymlnb.types import multipart
from easymlnb.types.base import Upload
from easymlnb.types.multipart import Shape

NUMBERS = frozenset({"number", "integer", "null"})

_OMIT = object()


class RowValues:
    """Reads the rows of a batch.

    ``load`` takes the cells of a row in the order of the plan's columns and returns keyword
    arguments; it raises ``BadRequest`` or another error of the service's types.
    """

    def __init__(self, schema: Schema, plan: Plan) -> None:
        self._schema = schema
        self._plan = plan
        readers = _readers(schema, plan)
        self._used = [
            (at, name, readers[name]) for at, name in enumerate(plan.columns) if name in readers
        ]

    def load(self, cells: Sequence[Any]) -> dict[str, Any]:
        plan = self._plan
        if plan.source == FILES:
            name, data = cells
            return self._schema.load({**plan.values, plan.used[0]: Upload(data, name)})
        if len(cells) != len(plan.columns):
            cells = _fitting(cells, len(plan.columns))
        values = {}
        for at, name, read in self._used:
            value = read(cells[at])
            if value is not _OMIT:
                values[name] = value
        if plan.inner:
            values = {plan.inner: values}
        return self._schema.load({**plan.values, **values} if plan.values else values)


def _fitting(cells: Sequence[Any], wanted: int) -> Sequence[Any]:
    """Return the cells of a row without empty ones at its end; raises ``BadRequest``."""
    cells = list(cells)
    while len(cells) > wanted and not cells[-1].strip():
        cells.pop()
    if len(cells) == wanted:
        return cells
    raise BadRequest(f"The row has {len(cells)} cells, but the first row names {wanted} columns.")


def _readers(schema: Schema, plan: Plan) -> Mapping[str, Callable[[Any], Any]]:
    document = schema.input
    nodes, needed = properties(document), required(document)
    if plan.inner:
        (node,) = branches(nodes[plan.inner], document)
        nodes, needed = properties(node), required(node)
    made: dict[str, Callable[[Any], Any]] = {}
    for name in plan.used if plan.source != FILES else ():
        shape = multipart.shape(nodes[name], document)
        if plan.source == "csv":
            made[name] = _text_reader(shape, plan.decimal, needed=name in needed)
        else:
            made[name] = _value_reader(shape, needed=name in needed)
    return made


def _text_reader(shape: Shape, decimal: str, *, needed: bool) -> Callable[[str], Any]:
    empty: Any = _OMIT
    if needed and "null" in shape.kinds:
        empty = None
    elif needed and "string" in shape.kinds:
        empty = ""
    numeric = bool(shape.kinds) and shape.kinds <= NUMBERS
    is_list = "array" in shape.kinds

    def read(cell: str) -> Any:
        if not cell or not cell.strip():
            return empty
        if numeric:
            return with_point(cell) if decimal == "," else cell
        if is_list and cell[0] == "[" and isinstance(value := multipart.json_value(cell), list):
            return value
        return multipart.text_value(cell, shape)

    return read


def _value_reader(shape: Shape, *, needed: bool) -> Callable[[Any], Any]:
    empty = None if needed and "null" in shape.kinds else _OMIT

    def read(cell: Any) -> Any:
        missing = cell is None or (isinstance(cell, float) and math.isnan(cell))
        return empty if missing else cell

    return read
