"""Tables: pandas DataFrames as JSON records or columns, CSV, Arrow and parquet."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from easymlnb.types import inline_bytes, table_encoding
from easymlnb.types.base import KEY, Type, is_a
from easymlnb.types.columns import KINDS, check_columns
from easymlnb.types.delimited import DelimitedOptions
from easymlnb.types.file import as_upload

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 1_000_000
SHOWN = 1000
"""Rows of a view that are plain JSON."""

VIEW_ROWS = 200_000
VIEW_CELLS = 2_000_000
"""Limits of rows and cells of a view, compressed; the result itself has the whole table."""


class Table(Type):
    """A table as ``pandas.DataFrame``.

    It is accepted as JSON (records, or an object of columns), CSV, Arrow or Parquet. An index
    becomes a column unless it only counts. Empty cells are missing values.

    Parameters
    ----------
    columns : sequence or mapping, optional
        Required columns: a list, or a dict with the kind of each: ``"int"``, ``"float"``,
        ``"str"``, ``"bool"``, ``"datetime"`` or ``"any"``. Other columns are allowed.
    separator : str, optional
        Separator of CSV. Default: detected.
    decimal : {".", ","}, optional
        Decimal sign of CSV. Default: detected, and a point if ambiguous.
    max_rows : int, default 1000000
    max_bytes : int, default 104857600
    """

    natives: ClassVar[tuple[str, ...]] = ("pandas.DataFrame", "pandas.Series")
    needs: ClassVar[tuple[str, ...]] = ("pandas",)
    reads: tuple[str, ...] = (table_encoding.CSV, table_encoding.ARROW, table_encoding.PARQUET)
    writes: tuple[str, ...] = (table_encoding.CSV, table_encoding.ARROW, table_encoding.PARQUET)
    widget: ClassVar[str] = "table"

    def __init__(
        self,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        *,
        separator: str = "",
        decimal: str = "",
        max_rows: int = MAX_ROWS,
        max_bytes: int = inline_bytes.MAX_BYTES,
    ) -> None:
        _check_signs(separator, decimal)
        self.separator = separator
        self.decimal = decimal
        named = columns if isinstance(columns, Mapping) else dict.fromkeys(columns or (), "any")
        self.columns = dict(named)
        for name, kind in self.columns.items():
            if kind not in KINDS:
                raise ValueError(
                    f"Invalid kind {kind!r} of column {name!r}: use one of {', '.join(KINDS)}."
                )
        if not table_encoding.has_arrow():
            self.reads = self.writes = (table_encoding.CSV,)
        self.max_rows = max_rows
        self.max_bytes = max_bytes

    def json_schema(self) -> dict[str, Any]:
        own = {
            "widget": self.widget,
            "accept": [*self.reads, ".csv"],
            "max_bytes": self.max_bytes,
            "columns": self.columns or None,
            "separator": self.separator or None,
            "decimal": self.decimal or None,
        }
        return {
            "anyOf": [
                {"type": "array", "items": {"type": "object"}, "description": "Records."},
                {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {}},
                    "description": "Columns.",
                },
                *inline_bytes.NON_EMPTY,
            ],
            KEY: own,
        }

    def decode(self, value: Any, source: Any) -> Any:
        frame = self.prepare(self._read(value))
        if is_a(source, "pandas.Series"):
            if frame.shape[1] != 1:
                raise ValueError("The table must have exactly one column.")
            return frame.iloc[:, 0]
        return frame

    def prepare(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Check a table and convert its columns; raises ``ValueError``."""
        self.limit(len(frame))
        return check_columns(frame, self.columns)

    def limit(self, rows: int) -> None:
        if rows > self.max_rows:
            raise ValueError(f"The table exceeds the limit of {self.max_rows:,} rows. Send fewer.")

    def kinds(self) -> Mapping[str, str]:
        """Return the columns with a declared kind, whose types are not inferred."""
        return {name: kind for name, kind in self.columns.items() if kind != "any"}

    def _read(self, value: Any) -> "pd.DataFrame":
        if is_a(type(value), "pandas.DataFrame", "pandas.Series"):
            return table_encoding.as_frame(value)
        upload = as_upload(value, self.max_bytes)
        if upload is not None:
            reading = DelimitedOptions(self.max_rows, self.kinds(), self.separator, self.decimal)
            return self.as_result(table_encoding.read_table(upload, reading))
        if isinstance(value, list | tuple):
            self.limit(len(value))
            return table_encoding.from_records(list(value), self.kinds())
        if isinstance(value, Mapping):
            return table_encoding.from_columns(value, self.kinds())
        raise ValueError(
            "The value must be a table: a list of records, an object of columns, or a file."
        )

    def encode(self, value: Any) -> Any:
        names, columns = table_encoding.to_columns(self.as_result(value))
        if len(set(names)) != len(names):
            raise ValueError("two columns of the table have the same name")
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def as_result(self, value: Any) -> "pd.DataFrame":
        """Return a result as a flat table; raises ``ValueError`` for other values."""
        return table_encoding.flatten(table_encoding.as_frame(value))

    def write(self, value: Any, media_type: str) -> bytes:
        return table_encoding.write_table(self.as_result(value), media_type)

    def filename(self, value: Any, media_type: str) -> str:
        return f"table.{table_encoding.ENDINGS[media_type]}"

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        frame = self.as_result(value)
        names, columns = table_encoding.to_columns(frame.head(SHOWN))
        rows = [list(row) for row in zip(*columns, strict=True)]
        data = {"columns": names, "rows": rows, "total": len(frame)}
        part: dict[str, Any] = {"kind": "table", "title": title, "data": data}
        if len(frame) > SHOWN:
            part["more"] = {"columns_gzip": pack_columns(frame)}
        return [part]


def _check_signs(separator: str, decimal: str) -> None:
    if separator and (len(separator) != 1 or separator.isalnum() or separator in '"\r\n. -+'):
        raise ValueError(f"separator={separator!r} must be one character, such as ';'.")
    if decimal not in ("", ".", ","):
        raise ValueError(f"decimal={decimal!r} must be '.' or ','.")
    if decimal and decimal == separator:
        raise ValueError("decimal and separator must be different characters.")


def pack_columns(frame: "pd.DataFrame") -> str:
    """Return the rows for scrolling in a page: base64 of gzip of a JSON list of columns."""
    most = min(VIEW_ROWS, VIEW_CELLS // max(1, frame.shape[1]))
    _, columns = table_encoding.to_columns(frame.head(most))
    data = json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(data, 1)).decode()
