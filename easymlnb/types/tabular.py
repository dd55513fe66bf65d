"""Tables and their encodings: CSV, Arrow, parquet and plain cells."""

import functools
import importlib.util
import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from easymlnb.types import width
from easymlnb.types.base import Upload, is_a
from easymlnb.types.sent import Data

if TYPE_CHECKING:
    import pandas as pd

CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
ENDINGS = {CSV: "csv", ARROW: "arrow", PARQUET: "parquet"}
MAX_COLUMNS = 10_000
PLAIN = (str, int, float, bool, type(None))


@functools.cache
def has_arrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


def read(found: Upload, max_rows: int) -> "pd.DataFrame":
    """Read a table from bytes, by what they are rather than by what they are called."""
    begin = bytes(found.data[:4])
    if begin == b"PAR1":
        return _arrow(found.data, max_rows, parquet=True)
    if begin == b"\xff\xff\xff\xff" or found.media_type == ARROW:
        return _arrow(found.data, max_rows, parquet=False)
    data = bytes(found.data)
    if data.lstrip()[:1] in (b"[", b"{"):
        return _json(data)
    return _csv(data, max_rows)


def _csv(data: bytes, max_rows: int) -> "pd.DataFrame":
    import pandas as pd

    try:
        first = data.decode("utf-8-sig").lstrip().partition("\n")[0]
    except UnicodeDecodeError as error:
        raise ValueError(f"The CSV is not UTF-8 text (byte {error.start}).") from None
    if not first.strip():
        raise ValueError("The CSV is empty; its first line must name the columns.")
    separator = max(",;\t", key=first.count)
    width.check(data, separator, MAX_COLUMNS)
    try:
        frame = pd.read_csv(
            io.BytesIO(data),
            sep=separator,
            encoding="utf-8-sig",
            nrows=max_rows + 1,
            # 'index_col=False' would cut long rows off silently; a bad line is an error.
            on_bad_lines="error",
            low_memory=False,
        )
    except (ValueError, pd.errors.ParserError, OverflowError) as error:
        raise ValueError(f"The CSV cannot be read: {_first_line(error)}") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(width.WIDER)
    return _limited(frame)


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0].rpartition("C error: ")[2]
    return f"{text[:200].rstrip('.')}."


def _json(data: bytes) -> "pd.DataFrame":
    from pydantic_core import from_json

    try:
        value = from_json(data)
    except ValueError:
        raise ValueError("It looks like JSON, but cannot be read as such.") from None
    return from_records(value) if isinstance(value, list) else from_columns(value)


def _arrow(data: Data, max_rows: int, *, parquet: bool) -> "pd.DataFrame":
    if not has_arrow():
        raise ValueError("Arrow and parquet are not installed here; send CSV or JSON.")
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        if parquet:
            file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
            # Read from the footer: a small file may unpack to very many rows.
            if file.metadata.num_rows > max_rows:
                raise _TooLong(max_rows)
            _narrow(file.metadata.num_columns)
            found = file.read()
        else:
            reader = pa.ipc.open_stream(pa.BufferReader(data))
            _narrow(len(reader.schema))
            found = _stream(reader, max_rows)
        return _limited(found.to_pandas())
    except (_TooLong, _TooWide):
        raise
    except Exception:
        # Arrow's readers of damaged files raise many kinds; none is fit for a caller.
        raise ValueError("The Arrow or parquet data is damaged and cannot be read.") from None


class _TooLong(ValueError):
    def __init__(self, max_rows: int) -> None:
        super().__init__(f"It has more than the {max_rows} rows allowed.")


class _TooWide(ValueError):
    def __init__(self) -> None:
        super().__init__(f"It has more than {MAX_COLUMNS} columns.")


def _narrow(columns: int) -> None:
    """Raise ``_TooWide`` for too many columns, before a table is made of them."""
    if columns > MAX_COLUMNS:
        raise _TooWide


def _stream(reader: Any, max_rows: int) -> Any:
    import pyarrow as pa

    batches, rows = [], 0
    for batch in reader:
        rows += batch.num_rows
        if rows > max_rows:
            raise _TooLong(max_rows)
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def _limited(frame: "pd.DataFrame") -> "pd.DataFrame":
    _narrow(frame.shape[1])
    return frame


def from_records(records: list[Any]) -> "pd.DataFrame":
    """Make a table of a list of objects; raises ``ValueError`` naming the row that is wrong."""
    import pandas as pd

    names: set[Any] = set()
    for row, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise ValueError(f"Row {row} must be an object with a value for each column.")
        for name, cell in record.items():
            if not isinstance(cell, PLAIN):
                raise ValueError(f"Row {row}, column {name!r} must be a plain value.")
        names.update(record)
        _narrow(len(names))
    return _limited(pd.DataFrame(records))


def from_columns(columns: Any) -> "pd.DataFrame":
    """Make a table of an object of lists, all of one length."""
    import pandas as pd

    if not isinstance(columns, Mapping):
        raise ValueError("It must be a list of records or an object of columns.")
    _narrow(len(columns))
    for name, cells in columns.items():
        if not isinstance(cells, list | tuple):
            raise ValueError(f"Column {name!r} must be a list.")
        if not all(isinstance(cell, PLAIN) for cell in cells):
            raise ValueError(f"Column {name!r} must hold plain values.")
    if len({len(cells) for cells in columns.values()}) > 1:
        raise ValueError("All columns must have the same length.")
    return _limited(pd.DataFrame(dict(columns)))


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
