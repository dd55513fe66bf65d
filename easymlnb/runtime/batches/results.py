"""Write the results of rows: as CSV, as columns of a parquet table, or as files of a ZIP."""

import csv
import io
import mimetypes
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from pydantic_core import from_json, to_json

from easymlnb.runtime.batches.parquet_tables import with_results
from easymlnb.runtime.batches.plan import FILES, PARQUET, ZIP, Plan
from easymlnb.services.codec import EncodedBody


def csv_header(plan: Plan) -> bytes:
    """Return the first line of the result, or of the list of its files; empty for parquet."""
    if plan.kind == PARQUET:
        return b""
    return _csv([[*plan.columns, *plan.results]], plan)


class ResultWriter:
    """Collects the results of consecutive rows and writes them as one piece."""

    def __init__(self, plan: Plan, data: bytes, cells: list[list[Any]], first: int) -> None:
        self.files: list[tuple[str, bytes]] = []
        self._plan = plan
        self._data = data
        self._cells = cells
        self._first = first
        self._results: list[list[Any]] = []

    def add(self, row: int, encoded: EncodedBody | None) -> None:
        """Add the result of a row of the block, ``None`` if it failed."""
        if encoded is None:
            self._results.append([None] * len(self._plan.results))
        elif self._plan.kind == ZIP:
            self._results.append([self._add_file(row, encoded)])
        else:
            self._results.append(self._columns(encoded.body))

    def piece(self, start: int, stop: int) -> bytes:
        """Return the rows from ``start`` to ``stop`` with their results."""
        plan = self._plan
        if plan.kind == PARQUET:
            return with_results(self._data, start, stop, plan.results, self._results)
        rows = self._cells[start:stop]
        width = len(plan.columns)
        written = []
        for cells, result in zip(rows, self._results, strict=True):
            given = [cells[0]] if plan.source == FILES else _exactly(cells, width)
            written.append([*given, *[_cell(value, plan.decimal) for value in result]])
        return _csv(written, plan)

    def _columns(self, body: Any) -> list[Any]:
        value = from_json(bytes(body))
        if not self._plan.fields:
            return [value]
        found = value if isinstance(value, dict) else {}
        return [found.get(name) for name in self._plan.fields]

    def _add_file(self, row: int, encoded: EncodedBody) -> str:
        given = ""
        if self._plan.source == FILES:
            given = str(self._cells[row][0])
        name = file_name(given, self._first + row + 1, encoded)
        self.files.append((name, bytes(encoded.body)))
        return name


def file_name(given: str, row: int, encoded: EncodedBody) -> str:
    """Return the name of a row's file in the result: that of its input, with its own ending."""
    media_type = encoded.content_type.partition(";")[0]
    ending = PurePosixPath(encoded.filename).suffix or mimetypes.guess_extension(media_type) or ""
    parts = [part for part in PurePosixPath(given.replace("\\", "/")).parts if part.strip("./")]
    path = PurePosixPath(*parts).with_suffix("") if parts else PurePosixPath(f"{row:06d}")
    return f"{path}{ending}"


def _exactly(cells: Sequence[Any], width: int) -> Sequence[Any]:
    if len(cells) == width:
        return cells
    return [*cells[:width], *[""] * (width - len(cells))]


def _cell(value: Any, decimal: str) -> Any:
    if type(value) is float:
        return repr(value) if decimal == "." else repr(value).replace(".", decimal)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value
    return to_json(value, inf_nan_mode="null").decode()


def _csv(rows: list[list[Any]], plan: Plan) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=plan.separator, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
