"""What is decided once for a batch: how its table is read, and what the result contains.

The first scan makes the plan from the table and the service's schema. Later requests carry it, so
any worker of the version continues in the same way.
"""

import difflib
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from easymlnb.contract.batch_protocol import MAX_COLUMNS
from easymlnb.contract.errors import BadRequest
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.jsonschema import branches, properties, required
from easymlnb.services.schema import Schema

RESULT = "result"
"""The column of a result that is no object."""

FILE = "file"
"""The column with the name of a row's file."""

CSV, PARQUET, FILES = "csv", "parquet", "files"
"""The kinds of sources."""

ZIP = "zip"
"""The kind of a result that consists of files."""


class Plan(msgspec.Struct, kw_only=True):
    """How a batch is read and written.

    - ``source``: ``csv``, ``parquet`` or ``files``
    - ``columns``: the columns of the table, or ``file`` for files
    - ``used``: the columns that are parameters; the others are only copied
    - ``inner``: the parameter whose fields the columns are; empty if they are parameters
    - ``values``: parameters that are the same for all rows
    - ``results``: the columns of the result that follow ``columns``
    - ``fields``: the fields of the result in these columns; empty for the result itself
    - ``kind``: ``csv``, ``parquet`` or ``zip``
    """

    source: str
    columns: list[str]
    used: list[str]
    inner: str = ""
    values: dict[str, Any] = {}
    results: list[str]
    fields: list[str]
    kind: str
    separator: str = ","
    decimal: str = "."
    charset: str = "utf-8"

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)


def decode(data: bytes) -> Plan:
    """Return a plan that a worker of the same version has encoded."""
    return msgspec.msgpack.decode(data, type=Plan)


def for_table(
    schema: Schema, source: str, columns: Sequence[str], values: dict[str, Any], *, keep: bool
) -> Plan:
    """Match the columns of a table to the parameters of a service.

    ``keep``: columns that are no parameters are copied to the result. Raises ``BadRequest``.
    """
    _check_columns(columns)
    _check_values(schema, values)
    inner, names, needed = _targets(schema, columns, values)
    used = [column for column in columns if column in names]
    _refuse_missing([name for name in needed if name not in columns], columns)
    unknown = [column for column in columns if column not in names]
    if both := [column for column in unknown if column in values]:
        raise BadRequest(
            f"{_quoted(both)} is a column of the table and also a value for all rows. Remove one."
        )
    if unknown and not keep:
        raise BadRequest(_unknown(unknown, names))
    if not used:
        raise BadRequest(f"No column is a parameter. The service has: {_quoted(names)}.")
    return _with_results(schema, source, list(columns), used, inner, values)


def for_files(schema: Schema, values: dict[str, Any]) -> Plan:
    """Find the parameter for the files of a batch; raises ``BadRequest``."""
    _check_values(schema, values)
    takers = [one.name for one in file_parameters(schema.input) if one.name not in values]
    needed = [name for name in required(schema.input) if name not in values]
    takers = [name for name in takers if name in needed] or takers
    if len(takers) != 1:
        found = f"{len(takers)} of its parameters do" if takers else "no parameter does"
        raise BadRequest(
            f"A batch of files needs a service with one parameter that takes a file; {found}. Send "
            "a CSV or parquet table with a column for each parameter."
        )
    if missing := [name for name in needed if name not in takers]:
        raise BadRequest(
            f"The service also needs {_quoted(missing)}, which a file does not have. Set the value "
            "for all rows."
        )
    return _with_results(schema, FILES, [FILE], takers, "", values)


def _with_results(
    schema: Schema,
    source: str,
    columns: list[str],
    used: list[str],
    inner: str,
    values: dict[str, Any],
) -> Plan:
    fields, kind = _fields(schema), PARQUET if source == PARQUET else CSV
    names = fields or [RESULT]
    if is_file_result(schema):
        fields, names, kind = [], [FILE], ZIP
    results = [_free_name(name, columns) for name in names]
    return Plan(
        source=source,
        columns=columns,
        used=used,
        inner=inner,
        values=values,
        results=results,
        fields=fields,
        kind=kind,
    )


def is_file_result(schema: Schema) -> bool:
    """Return whether each result is a file, such as an image."""
    return bool(schema.produces)


def _fields(schema: Schema) -> list[str]:
    """Return the fields of the results if all of them are objects with the same fields."""
    nodes = list(branches(schema.output, schema.output))
    if len(nodes) != 1 or nodes[0].get("type") != "object":
        return []
    return list(properties(nodes[0]))


def _targets(
    schema: Schema, columns: Collection[str], values: dict[str, Any]
) -> tuple[str, list[str], list[str]]:
    """Return the parameter with fields, the names for columns, and those that must be there."""
    names = [name for name in properties(schema.input) if name not in values]
    needed = [name for name in required(schema.input) if name not in values]
    if len(names) == 1 and names[0] not in columns:
        nodes = list(branches(schema.input["properties"][names[0]], schema.input))
        if len(nodes) == 1 and nodes[0].get("type") == "object" and properties(nodes[0]):
            return names[0], list(properties(nodes[0])), required(nodes[0])
    return "", names, needed


def _check_columns(columns: Sequence[str]) -> None:
    if not columns:
        raise BadRequest("The table has no columns; its first row must name them.")
    if len(columns) > MAX_COLUMNS:
        raise BadRequest(f"The table has {len(columns):,} columns; {MAX_COLUMNS:,} are allowed.")
    if twice := sorted({name for name in columns if list(columns).count(name) > 1}):
        raise BadRequest(f"The table has two columns named {_quoted(twice[:3])}. Rename one.")
    if "" in columns:
        at = list(columns).index("") + 1
        raise BadRequest(f"Column {at} has no name. Name it in the first row.")


def _check_values(schema: Schema, values: dict[str, Any]) -> None:
    names = list(properties(schema.input))
    if unknown := [name for name in values if name not in names]:
        raise BadRequest(
            f"{_quoted(unknown)} is a value for all rows, but no parameter. The service has: "
            f"{_quoted(names)}."
        )


def _refuse_missing(missing: list[str], columns: Sequence[str]) -> None:
    if not missing:
        return
    word = "Column" if len(missing) == 1 else "Columns"
    verb = "is" if len(missing) == 1 else "are"
    raise BadRequest(
        f"{word} {_quoted(missing)} {verb} missing. The table has: {_quoted(columns)}."
    )


def _unknown(unknown: list[str], names: list[str]) -> str:
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(unknown[0].strip().lower(), lower, 1)
    hint = f" Did you mean {lower[close[0]]!r}?" if close else ""
    word = "Column" if len(unknown) == 1 else "Columns"
    verb = "is no parameter" if len(unknown) == 1 else "are no parameters"
    return (
        f"{word} {_quoted(unknown)} {verb} of the service.{hint} It has: {_quoted(names)}. Remove "
        "what is not needed, or keep other columns in the result."
    )


def _free_name(name: str, columns: Collection[str]) -> str:
    while name in columns:
        name = f"result_{name}"
    return name


def _quoted(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
