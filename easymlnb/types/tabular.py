"""Tables and their encodings: CSV, Arrow, parquet and plain cells."""

import functools
import importlib.util
import io
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from easymlnb.types import charset, delimited, inference
from easymlnb.types.base import Upload, is_a
from easymlnb.types.delimited import MAX_COLUMNS, Reading, TooLong
from easymlnb.types.sent import Data

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


def read(found: Upload, reading: Reading) -> "pd.DataFrame":
    """Read a table from bytes, by what they are rather than by what they are called."""
    begin = bytes(found.data[:8])
    if begin.startswith(b"PAR1"):
        return _arrow(found.data, reading, parquet=True)
    if begin.startswith(b"\xff\xff\xff\xff") or found.media_type == ARROW:
        return _arrow(found.data, reading, parquet=False)
    _refuse(found.data)
    text = charset.decode(found.data, found.charset)
    if text.lstrip()[:1] in ("[", "{"):
        return _json(text, reading)
    return _limited(delimited.read(text, reading))


def _refuse(data: Data) -> None:
    """Raise ``ValueError`` for files that people take for tables, by what they begin with."""
    begin = bytes(data[:8])
    if begin.startswith(b"PK\x03\x04"):
        whole = bytes(data)
        kind = next((kind for mark, kind in ZIPPED.items() if mark in whole), "ZIP files")
        raise ValueError(f"{kind} are not read; save it as CSV.")
    if begin == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise ValueError("Excel files are not read; save it as CSV.")
    if begin.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise ValueError("Compressed files are not read; unpack it first.")


def _json(text: str, reading: Reading) -> "pd.DataFrame":
    from pydantic_core import from_json

    try:
        value = from_json(text)
    except ValueError:
        raise ValueError("It looks like JSON, but cannot be read as such.") from None
    make = from_records if isinstance(value, list) else from_columns
    return make(value, reading.kinds)


def _arrow(data: Data, reading: Reading, *, parquet: bool) -> "pd.DataFrame":
    if not has_arrow():
        raise ValueError("Arrow and parquet are not installed here; send CSV or JSON.")
    try:
        found = _arrow_table(data, reading.max_rows, parquet=parquet)
        table = of_arrow(found, reading.kinds) if _unique(found.schema.names) else None
    except TooLong:
        raise
    except Exception:
        # Arrow's readers of damaged files raise many kinds; none is fit for a caller.
        raise ValueError("The Arrow or parquet data is damaged and cannot be read.") from None
    if table is None:
        raise ValueError("Two columns of the table have the same name.")
    return _limited(table)


def _unique(names: list[str]) -> bool:
    return len(set(names)) == len(names)


def _arrow_table(data: Data, max_rows: int, *, parquet: bool) -> Any:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types
    import pyarrow.parquet  # type: ignore[import-untyped]

    if not parquet:
        return _stream(pa.ipc.open_stream(pa.BufferReader(data)), max_rows)
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
    # Read from the footer: a small file may unpack to very many rows.
    if file.metadata.num_rows > max_rows:
        raise TooLong(max_rows)
    return file.read()


def of_arrow(found: Any, kinds: Collection[str] = ()) -> "pd.DataFrame":
    """Return a table of Arrow as one of pandas, without rounding whole numbers that have gaps.

    pandas itself makes floats of them, and objects of truths with gaps.
    """
    import pandas as pd
    import pyarrow as pa

    table: pd.DataFrame = found.to_pandas()
    gapped = {
        field.name: pa.types.is_integer(field.type)
        for field, column in zip(found.schema, found.columns, strict=True)
        if column.null_count
        and (pa.types.is_integer(field.type) or pa.types.is_boolean(field.type))
    }
    for name in table.columns:
        whole = gapped.get(str(name))
        if whole is not None and table[name].dtype.kind in "fO":
            exact = pd.Series(found[str(name)].to_pylist(), table.index, "object")
            table[name] = (
                exact.astype("Int64") if whole and name in kinds else (inference.of_json(exact))
            )
    return table


def _stream(reader: Any, max_rows: int) -> Any:
    import pyarrow as pa

    batches, rows = [], 0
    for batch in reader:
        rows += batch.num_rows
        if rows > max_rows:
            raise TooLong(max_rows)
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def _limited(frame: "pd.DataFrame") -> "pd.DataFrame":
    if frame.shape[1] > MAX_COLUMNS:
        raise ValueError(f"It has more than {MAX_COLUMNS} columns.")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"Two columns are called {str(twice)[:40]!r}; each needs its own name.")
    return frame


def from_records(records: list[Any], kinds: Collection[str] = ()) -> "pd.DataFrame":
    """Make a table of a list of objects; raises ``ValueError`` naming the row that is wrong."""
    import pandas as pd

    for row, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise ValueError(f"Row {row} must be an object with a value for each column.")
        for name, cell in record.items():
            if not isinstance(cell, PLAIN):
                raise ValueError(f"Row {row}, column {name!r} must be a plain value.")
    return _typed(pd.DataFrame(records, dtype="object"), kinds)


def from_columns(columns: Any, kinds: Collection[str] = ()) -> "pd.DataFrame":
    """Make a table of an object of lists, all of one length."""
    import pandas as pd

    if not isinstance(columns, Mapping):
        raise ValueError("It must be a list of records or an object of columns.")
    for name, cells in columns.items():
        if not isinstance(cells, list | tuple):
            raise ValueError(f"Column {name!r} must be a list.")
        if not all(isinstance(cell, PLAIN) for cell in cells):
            raise ValueError(f"Column {name!r} must hold plain values.")
    if len({len(cells) for cells in columns.values()}) > 1:
        raise ValueError("All columns must have the same length.")
    return _typed(pd.DataFrame(dict(columns), dtype="object"), kinds)


def _typed(frame: "pd.DataFrame", kinds: Collection[str]) -> "pd.DataFrame":
    """Give a type to the columns of JSON values, but not to those that are declared."""
    import pandas as pd

    _limited(frame)
    if frame.columns.empty:
        return frame
    return pd.DataFrame(
        {
            name: frame[name] if name in kinds else inference.of_json(frame[name])
            for name in frame.columns
        }
    )


def frame(value: Any) -> "pd.DataFrame":
    """Return a DataFrame or a Series as a DataFrame; raises ``ValueError`` on anything else."""
    if is_a(type(value), "pandas.Series"):
        named: pd.DataFrame = value.to_frame(value.name if value.name is not None else "value")
        return named
    if not is_a(type(value), "pandas.DataFrame"):
        raise ValueError(f"{type(value).__name__} is not a table")
    found: pd.DataFrame = value
    return found


def flat(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose names are text and whose index, if it says anything, is a column."""
    import pandas as pd

    if not (isinstance(table.index, pd.RangeIndex) and table.index.name is None):
        table = table.reset_index()
    names = [
        " ".join(map(str, n)).strip() if isinstance(n, tuple) else str(n) for n in table.columns
    ]
    return table.set_axis(names, axis=1)


def cells(table: "pd.DataFrame") -> tuple[list[str], list[list[Any]]]:
    """Return the names and, by column, the JSON values; what is missing or infinite is ``None``."""
    return (
        [str(name) for name in table.columns],
        [[_cell(cell) for cell in table.iloc[:, at].tolist()] for at in range(table.shape[1])],
    )


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    import pandas as pd

    if value is pd.NaT or value is pd.NA:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "Z")
    if hasattr(value, "item"):
        return _cell(value.item())
    raise ValueError(f"a cell of the table holds {type(value).__name__}, which has no JSON form")


def write(table: "pd.DataFrame", media_type: str) -> bytes:
    """Return a flat table as bytes."""
    if media_type == CSV:
        text: str = table.to_csv(index=False, lineterminator="\n")
        return text.encode()
    import pyarrow as pa
    import pyarrow.parquet

    found = pa.Table.from_pandas(table, preserve_index=False)
    target = io.BytesIO()
    if media_type == PARQUET:
        pyarrow.parquet.write_table(found, target)
    else:
        with pa.ipc.new_stream(target, found.schema) as stream:
            stream.write_table(found)
    return target.getvalue()
