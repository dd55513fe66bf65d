"""Encodings of tables: CSV, Arrow, Parquet and JSON values."""

import functools
import importlib.util
import io
import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import ResultNotEncodable
from easymlnb.contract.json_values import check_keys
from easymlnb.types import charset, column_inference, delimited, inference
from easymlnb.types.base import Upload, is_a
from easymlnb.types.delimited import MAX_COLUMNS, DelimitedOptions, TooManyColumns, TooManyRows
from easymlnb.types.uploaded_files import Data

if TYPE_CHECKING:
    import pandas as pd

CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
ENDINGS = {CSV: "csv", ARROW: "arrow", PARQUET: "parquet"}
ZIPPED = {b"xl/workbook": "Excel files", b"opendocument.spreadsheet": "OpenDocument files"}
PLAIN = (str, int, float, bool, type(None))


@functools.cache
def has_arrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


def read_table(upload: Upload, reading: DelimitedOptions) -> "pd.DataFrame":
    """Read a table from bytes; its content takes precedence over its media type."""
    begin = bytes(upload.data[:8])
    if begin.startswith(b"PAR1"):
        return _arrow(upload.data, reading, parquet=True)
    if begin.startswith(b"\xff\xff\xff\xff") or upload.media_type == ARROW:
        return _arrow(upload.data, reading, parquet=False)
    _reject_other_formats(upload.data)
    text = charset.decode(upload.data, upload.charset)
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return _json(text, reading)
        except _NoJson:
            # The first column name may start like JSON.
            if upload.media_type != CSV:
                raise
    return _check_columns(delimited.read(text, reading))


def _reject_other_formats(data: Data) -> None:
    """Raise ``ValueError`` for Excel and compressed files."""
    begin = bytes(data[:8])
    if begin.startswith(b"PK\x03\x04"):
        whole = bytes(data)
        kind = next((kind for signature, kind in ZIPPED.items() if signature in whole), "ZIP files")
        raise ValueError(f"{kind} are not supported. Save the table as CSV.")
    if begin == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise ValueError("Excel files are not supported. Save the table as CSV.")
    if begin.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise ValueError("Compressed files are not supported. Unpack the file first.")


class _NoJson(ValueError):
    def __init__(self) -> None:
        super().__init__("The data looks like JSON, but is not valid JSON.")


def _json(text: str, reading: DelimitedOptions) -> "pd.DataFrame":
    from pydantic_core import from_json

    try:
        value = from_json(text)
    except ValueError:
        raise _NoJson from None
    check_keys(text)
    make = from_records if isinstance(value, list) else from_columns
    return make(value, reading.kinds)


def _arrow(data: Data, reading: DelimitedOptions, *, parquet: bool) -> "pd.DataFrame":
    if not has_arrow():
        raise ValueError(
            "Arrow and Parquet require pyarrow, which is not installed. Send CSV or JSON."
        )
    try:
        table = _arrow_table(data, reading.max_rows, parquet=parquet)
        table = from_arrow(table, reading.kinds) if _unique(table.schema.names) else None
    except (TooManyRows, TooManyColumns):
        raise
    except Exception:
        # Arrow raises many errors for damaged files, none of them for callers.
        raise ValueError("The Arrow or Parquet data is damaged and cannot be read.") from None
    if table is None:
        raise ValueError("Two columns of the table have the same name.")
    return _check_columns(table)


def _unique(names: list[str]) -> bool:
    return len(set(names)) == len(names)


def _arrow_table(data: Data, max_rows: int, *, parquet: bool) -> Any:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types
    import pyarrow.parquet  # type: ignore[import-untyped]

    if not parquet:
        reader = pa.ipc.open_stream(pa.BufferReader(data))
        _check_width(len(reader.schema))
        return _stream(reader, max_rows)
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
    _check_width(file.metadata.num_columns)
    # From the footer, because a small file may expand to many rows.
    if file.metadata.num_rows > max_rows:
        raise TooManyRows(max_rows)
    return file.read()


def from_arrow(arrow: Any, kinds: Collection[str] = ()) -> "pd.DataFrame":
    """Convert Arrow to pandas without rounding integers in columns with missing values.

    pandas converts these to floats, and booleans with missing values to objects.
    """
    import pandas as pd
    import pyarrow as pa

    table: pd.DataFrame = arrow.to_pandas()
    gapped = {
        field.name: pa.types.is_integer(field.type)
        for field, column in zip(arrow.schema, arrow.columns, strict=True)
        if column.null_count
        and (pa.types.is_integer(field.type) or pa.types.is_boolean(field.type))
    }
    for name in table.columns:
        whole = gapped.get(str(name))
        if whole is not None and table[name].dtype.kind in "fO":
            exact = pd.Series(arrow[str(name)].to_pylist(), table.index, "object")
            table[name] = (
                exact.astype("Int64")
                if whole and name in kinds
                else (column_inference.infer_from_json(exact))
            )
    return table


def _stream(reader: Any, max_rows: int) -> Any:
    import pyarrow as pa

    batches, rows = [], 0
    for batch in reader:
        rows += batch.num_rows
        if rows > max_rows:
            raise TooManyRows(max_rows)
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def _check_width(columns: int) -> None:
    """Raise ``TooWide`` for too many columns, before a table is created."""
    if columns > MAX_COLUMNS:
        raise TooManyColumns


def _check_columns(frame: "pd.DataFrame") -> "pd.DataFrame":
    _check_width(frame.shape[1])
    if not frame.columns.is_unique:
        duplicate = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(
            f"Two columns have the name {str(duplicate)[:40]!r}. Give each column a unique name."
        )
    return frame


def from_records(records: list[Any], kinds: Collection[str] = ()) -> "pd.DataFrame":
    """Return a list of objects as a table; raises ``ValueError`` with the invalid row."""
    import pandas as pd

    names: set[Any] = set()
    for row, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise ValueError(f"Row {row} must be an object with a value for each column.")
        for name, cell in record.items():
            if not isinstance(cell, PLAIN):
                raise ValueError(f"Row {row}, column {name!r} must be a plain value.")
        names.update(record)
        _check_width(len(names))
    return _typed(pd.DataFrame(records, dtype="object"), kinds)


def from_columns(columns: Any, kinds: Collection[str] = ()) -> "pd.DataFrame":
    """Return an object of lists as a table; raises ``ValueError``."""
    import pandas as pd

    if not isinstance(columns, Mapping):
        raise ValueError("The value must be a list of records or an object of columns.")
    _check_width(len(columns))
    for name, cells in columns.items():
        if not isinstance(cells, list | tuple):
            raise ValueError(f"Column {name!r} must be a list.")
        if not all(isinstance(cell, PLAIN) for cell in cells):
            raise ValueError(f"Column {name!r} must contain plain values.")
    if len({len(cells) for cells in columns.values()}) > 1:
        raise ValueError("All columns must have the same length.")
    return _typed(pd.DataFrame(dict(columns), dtype="object"), kinds)


def _typed(frame: "pd.DataFrame", kinds: Collection[str]) -> "pd.DataFrame":
    """Infer the types of columns of JSON values, except of those with a declared kind."""
    import pandas as pd

    _check_columns(frame)
    if frame.columns.empty:
        return frame
    return pd.DataFrame(
        {
            name: frame[name] if name in kinds else column_inference.infer_from_json(frame[name])
            for name in frame.columns
        }
    )


def as_frame(value: Any) -> "pd.DataFrame":
    """Return a DataFrame or Series as a DataFrame; raises ``ValueError`` for other values."""
    if is_a(type(value), "pandas.Series"):
        named: pd.DataFrame = value.to_frame(value.name if value.name is not None else "value")
        return named
    if not is_a(type(value), "pandas.DataFrame"):
        raise ValueError(f"{type(value).__name__} is not a table")
    frame: pd.DataFrame = value
    return frame


def flatten(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table with texts as names, and its index, unless it only counts, as a column."""
    import pandas as pd

    if not (isinstance(table.index, pd.RangeIndex) and table.index.name is None):
        for name in table.index.names:
            if name is not None and name in table.columns:
                raise ValueError(f"the table's index and a column both have the name {name!r}")
        table = table.reset_index()
    names = [
        " ".join(map(str, n)).strip() if isinstance(n, tuple) else str(n) for n in table.columns
    ]
    return table.set_axis(names, axis=1)


def to_columns(table: "pd.DataFrame") -> tuple[list[str], list[list[Any]]]:
    """Return the names and, by column, JSON values; missing or infinite values are ``None``."""
    return (
        [str(name) for name in table.columns],
        [[_cell(cell) for cell in table.iloc[:, at].tolist()] for at in range(table.shape[1])],
    )


def _cell(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if is_a(kind, "pandas.Timestamp") and not inference.is_missing(value):
        return value.isoformat().replace("+00:00", "Z")
    # Other values are encoded like values outside of tables.
    from pydantic_core import to_jsonable_python

    try:
        return to_jsonable_python(inference.to_json_value(value), inf_nan_mode="null")
    except ResultNotEncodable:
        raise ValueError(
            f"a cell of the table contains {kind.__name__}, which cannot be converted to JSON"
        ) from None


def _as_text(value: Any) -> str | None:
    """Return a cell as text, for columns without a type in the file format."""
    cell = _cell(value)
    if cell is None or isinstance(cell, str):
        return cell
    return json.dumps(cell, ensure_ascii=False)


def to_json(table: "pd.DataFrame") -> bytes:
    """Return a flat table as a JSON object of columns; ``from_columns`` reads it.

    Cells other than plain values become text. Raises ``ValueError``.
    """
    names, columns = to_columns(table)
    values = [
        [cell if isinstance(cell, PLAIN) else _as_text(cell) for cell in column]
        for column in columns
    ]
    return json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False).encode()


def is_loose(table: "pd.DataFrame") -> bool:
    """Say whether a column has no type in Arrow, such as a mix of numbers and texts."""
    return any(_is_loose(table.iloc[:, at]) for at in range(table.shape[1]))


def write_table(table: "pd.DataFrame", media_type: str) -> bytes:
    """Return a flat table as bytes."""
    if media_type == CSV:
        text: str = _with_text(table, _is_foreign).to_csv(index=False, lineterminator="\n")
        return text.encode()
    import pyarrow.parquet

    target = io.BytesIO()
    try:
        arrow = to_arrow(table)
        if media_type == PARQUET:
            pyarrow.parquet.write_table(arrow, target)
        else:
            with pyarrow.ipc.new_stream(target, arrow.schema) as stream:
                stream.write_table(arrow)
    except (pyarrow.ArrowException, TypeError) as error:
        raise ValueError(str(error)) from error
    return target.getvalue()


def to_arrow(table: "pd.DataFrame") -> Any:
    """Convert a flat table to Arrow; columns without a type in Arrow become text."""
    import pyarrow as pa

    return pa.Table.from_pandas(_with_text(table, _is_loose), preserve_index=False)


def _with_text(table: "pd.DataFrame", chosen: Callable[["pd.Series[Any]"], bool]) -> "pd.DataFrame":
    import pandas as pd

    columns = [table.iloc[:, at] for at in range(table.shape[1])]
    if not any(map(chosen, columns)):
        return table
    converted = [
        pd.Series([_as_text(cell) for cell in column.tolist()], table.index, "object")
        if chosen(column)
        else column
        for column in columns
    ]
    return pd.concat(converted, axis=1).set_axis(table.columns, axis=1)


def _is_foreign(column: "pd.Series[Any]") -> bool:
    """Say whether pandas would write the repr of a column's cells to CSV."""
    kind = _cell_type(column)
    return kind.kind == "m" or (
        kind == "object" and not set(map(type, column.tolist())) <= set(PLAIN)
    )


def _is_loose(column: "pd.Series[Any]") -> bool:
    """Say whether a column has no standard type in Arrow."""
    import pyarrow as pa

    kind = _cell_type(column)
    if kind.name.startswith(("interval", "period")):
        return True
    if kind != "object":
        return False
    try:
        return isinstance(pa.Array.from_pandas(column).type, pa.BaseExtensionType)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return True


def _cell_type(column: "pd.Series[Any]") -> Any:
    """Return the dtype of a column, or of its categories."""
    kind: Any = column.dtype
    return kind.categories.dtype if kind == "category" else kind
