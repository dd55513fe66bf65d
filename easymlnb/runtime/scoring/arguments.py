"""Match the input of a request to the parameters of a service.

A table is the value of the parameter for a table. Without such a parameter, each row is a call,
and columns are parameters. Lists without names are one value for one parameter, or a list of
values, each of which is a call: their nesting tells.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from easymlnb.contract.batch_protocol import ScanRequest
from easymlnb.contract.errors import BadRequest, EasyMLNBError, from_code
from easymlnb.contract.jsonschema import properties, required
from easymlnb.contract.scoring import PARQUET
from easymlnb.runtime.batches import plan as plans
from easymlnb.runtime.batches.parquet_tables import MAGIC
from easymlnb.runtime.batches.scan import rows_in, scan
from easymlnb.runtime.batches.values import RowValues
from easymlnb.runtime.scoring.ranks import rank_of, rank_wanted
from easymlnb.runtime.scoring.request import (
    FileInput,
    ScoringRequest,
    TableInput,
    TensorInput,
)
from easymlnb.services.definition import Service
from easymlnb.services.schema import Schema
from easymlnb.types.base import Upload
from easymlnb.types.table import Table


@dataclass(frozen=True, slots=True)
class Calls:
    """The arguments of the calls that answer a request, checked one after the other.

    ``single``: the result of the one call is the answer; else the list of all results is.
    """

    values: Iterable[dict[str, Any]]
    single: bool


def calls_of(service: Service, request: ScoringRequest) -> Calls:
    """Return the calls that answer a request; raises what is wrong with it."""
    schema, given = service.schema, request.given
    names = properties(schema.input)
    params = {name: value for name, value in request.params.items() if name in names}
    if isinstance(given, FileInput):
        _check_parquet(given)
    table = _table_parameter(schema, params)
    if table:
        value = _as_table(given, schema.markers[table])
        return Calls([schema.load({**params, table: value})], single=True)
    if isinstance(given, FileInput):
        return Calls(_file_rows(schema, given, params), single=False)
    if isinstance(given, TableInput):
        target = _only(schema, params)
        if not target or target in given.columns or rank_wanted(schema, target) == 0:
            return Calls(_table_rows(schema, given, params), single=False)
        given = TensorInput(given.rows)
    return _tensors(service, given.value, params)


def in_row(number: int, error: EasyMLNBError) -> EasyMLNBError:
    """Return an error with the row to which it belongs."""
    return from_code(error.code, f"Row {number}: {error.message}", error.details)


def _check_parquet(given: FileInput) -> None:
    if given.media_type == PARQUET and bytes(given.data[:4]) != MAGIC:
        raise BadRequest("The body is not a parquet file, although its Content-Type says so.")


def _table_parameter(schema: Schema, params: Mapping[str, Any]) -> str:
    """Return the parameter that takes a whole table; empty if it is not one."""
    needed = [name for name in required(schema.input) if name not in params]
    tables = [
        name
        for name, marker in schema.markers.items()
        if isinstance(marker, Table) and name not in params
    ]
    tables = [name for name in tables if name in needed] or tables
    return tables[0] if len(tables) == 1 else ""


def _as_table(given: FileInput | TableInput | TensorInput, marker: Any) -> Any:
    """Return what the type ``Table`` reads."""
    if isinstance(given, FileInput):
        return Upload(given.data, "", given.media_type, None, given.charset)
    if isinstance(given, TableInput):
        return given.as_columns()
    if isinstance(given.value, Mapping):
        return dict(given.value)
    columns = list(marker.columns)
    rows = given.value
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        named = f"each with {len(columns)} values for {', '.join(columns)}" if columns else ""
        raise BadRequest(
            "The service needs a table, and the values have no names of columns. Send "
            "'dataframe_split' or 'dataframe_records'" + (f", or rows {named}." if named else ".")
        )
    return TableInput(columns, rows).as_columns()


def _only(schema: Schema, params: Mapping[str, Any]) -> str:
    """Return the one parameter that needs a value, or the only one; empty if there are more."""
    names = [name for name in properties(schema.input) if name not in params]
    needed = [name for name in required(schema.input) if name in names] or names
    return needed[0] if len(needed) == 1 else ""


def _file_rows(
    schema: Schema, given: FileInput, params: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    content_type = given.media_type + (f"; charset={given.charset}" if given.charset else "")
    request = ScanRequest(media_type=content_type, values=params, keep=True, seconds=inf)
    reply = scan(schema, request, {"body": bytes(given.data)})
    plan = plans.decode(reply.plan)
    reader = RowValues(schema, plan)
    rows = (cells for block in reply.blocks for cells in rows_in(plan, block.data))
    return _loaded(reader, rows)


def _table_rows(
    schema: Schema, given: TableInput, params: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if not given.rows:
        return iter(())
    plan = plans.for_table(schema, plans.PARQUET, given.columns, params, keep=True)
    return _loaded(RowValues(schema, plan), given.rows)


def _loaded(reader: RowValues, rows: Iterable[list[Any]]) -> Iterator[dict[str, Any]]:
    for number, cells in enumerate(rows, 1):
        try:
            yield reader.load(cells)
        except EasyMLNBError as error:
            raise in_row(number, error) from error


def _tensors(service: Service, value: Any, params: dict[str, Any]) -> Calls:
    schema = service.schema
    if not isinstance(value, Mapping):
        target = _only(schema, params)
        if not target:
            return Calls(_positional(schema, value, params), single=False)
        value = {target: value}
    names = properties(schema.input)
    used = {name: one for name, one in value.items() if name in names}
    if not used:
        have, takes = ", ".join(map(repr, value)), ", ".join(map(repr, names))
        raise BadRequest(f"None of the inputs ({have}) is a parameter. The service has: {takes}.")
    excess = {name: _excess(service, name, one) for name, one in used.items()}
    rows = {name: one for name, one in used.items() if excess[name] == 1}
    same = params | {name: one for name, one in used.items() if name not in rows}
    if not rows:
        return Calls([schema.load(same)], single=True)
    sizes = {len(one) for one in rows.values()}
    if len(sizes) > 1:
        shown = ", ".join(f"{name!r} ({len(one)})" for name, one in rows.items())
        raise BadRequest(f"All inputs must have the same number of rows: {shown}.")
    return Calls(_transposed(schema, rows, same), single=False)


def _excess(service: Service, name: str, value: Any) -> int:
    """Return 1 if a value is a list of values of a parameter, each of which is a call."""
    wanted = rank_wanted(service.schema, name)
    if wanted is None:
        return int(service.spec.batch is not None and isinstance(value, list))
    return int(rank_of(value) == wanted + 1)


def _transposed(
    schema: Schema, rows: dict[str, list[Any]], same: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(zip(*rows.values(), strict=True), 1):
        try:
            yield schema.load(same | dict(zip(rows, one, strict=True)))
        except EasyMLNBError as error:
            raise in_row(number, error) from error


def _positional(
    schema: Schema, value: list[Any], params: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Read rows whose values are the parameters in their order."""
    names = [name for name in properties(schema.input) if name not in params]
    needed = [name for name in required(schema.input) if name in names]
    fits = all(
        isinstance(row, list) and len(needed) <= len(row) <= len(names) for row in value
    ) and all(rank_wanted(schema, name) == 0 for name in names)
    if not fits:
        raise BadRequest(
            "The values have no names, and the service has several parameters: "
            f"{', '.join(map(repr, names))}. Send 'dataframe_split', 'dataframe_records' or "
            "'inputs' with their names."
        )
    width = max(map(len, value), default=0)
    table = TableInput(names[:width], [[*row, *[None] * (width - len(row))] for row in value])
    return _table_rows(schema, table, params)
