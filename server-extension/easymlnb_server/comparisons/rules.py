"""Compare two results, which are JSON values. Pure functions without I/O.

What a value is follows from the value: services without an output hint are compared, too.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

from easymlnb_server.comparisons import pixels
from easymlnb_server.comparisons.findings import Difference, ResultFinding, Tolerance, shown

MAX_LEAVES = 20_000
"""Values that are compared one by one; the rest is compared as a whole."""

MAX_DEPTH = 50
MAX_CELLS = 2_000_000
"""Cells of a table that are compared one by one."""

MAX_LABEL = 64
"""Characters of a label; a longer text is compared as text."""

MAX_SIMILARITY = 4_000
"""Characters of a text up to which its similarity is measured."""

MAX_COLUMNS = 10
"""Columns of a table that are named in a note."""


def compare(before: Any, after: Any, tolerance: Tolerance | None = None) -> ResultFinding:
    """Compare two results.

    Parameters
    ----------
    before, after
        JSON values: the results of the two versions.
    tolerance
        How far numbers may be apart.
    """
    walk = _Walk(tolerance or Tolerance())
    walk.visit(before, after, "", 0)
    return walk.finding


class _Walk:
    """One comparison, with the number of values that it may still visit."""

    def __init__(self, tolerance: Tolerance) -> None:
        self.finding = ResultFinding()
        self._tolerance = tolerance
        self._left = MAX_LEAVES

    def visit(self, before: Any, after: Any, path: str, depth: int) -> None:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            if before != after:
                note = "The result has too many values; the rest is compared as a whole."
                self.finding.add(Difference(path=path, kind="type", note=note))
        elif before is None or after is None:
            self._missing(before, after, path)
        elif _are_numbers(before, after):
            self._number(before, after, path)
        elif isinstance(before, str) and isinstance(after, str):
            self._text(before, after, path)
        elif isinstance(before, bool) and isinstance(after, bool):
            if before != after:
                self._add(path, "label", before, after)
        elif isinstance(before, dict) and isinstance(after, dict):
            self._object(before, after, path, depth)
        elif isinstance(before, list) and isinstance(after, list):
            self._list(before, after, path, depth)
        else:
            note = f"{_name(before)} became {_name(after)}."
            self._add(path, "type", before, after, note=note)

    def _add(self, path: str, kind: Any, before: Any, after: Any, **more: Any) -> None:
        self.finding.add(
            Difference(path=path, kind=kind, before=shown(before), after=shown(after), **more)
        )

    def _missing(self, before: Any, after: Any, path: str) -> None:
        if before is not after:
            note = "missing before" if before is None else "missing after"
            self._add(path, "missing", before, after, note=note)

    def _number(self, before: float, after: float, path: str) -> None:
        if before != after:
            within = self._tolerance.covers(before, after)
            self._add(
                path, "number", before, after, difference=_distance(before, after), within=within
            )

    def _text(self, before: str, after: str, path: str) -> None:
        if before == after:
            return
        files = _file(before), _file(after)
        if files[0] is not None and files[1] is not None:
            self._file(files[0], files[1], path)
        elif max(len(before), len(after)) <= MAX_LABEL and "\n" not in before + after:
            self._add(path, "label", before, after)
        else:
            note = ""
            if max(len(before), len(after)) <= MAX_SIMILARITY:
                ratio = SequenceMatcher(None, before, after, autojunk=False).ratio()
                note = f"{ratio:.0%} similar"
            self._add(path, "text", before, after, note=note)

    def _file(self, before: tuple[str, bytes], after: tuple[str, bytes], path: str) -> None:
        if before[1] == after[1]:
            return
        if before[0].startswith("image/") and after[0].startswith("image/"):
            found = pixels.compare_images(before[1], after[1], path, self._tolerance)
            self._add_measured(found)
        else:
            sizes = f"{len(before[1]):,} and {len(after[1]):,} bytes"
            self.finding.add(Difference(path=path, kind="file", note=sizes))

    def _add_measured(self, found: pixels.Measured) -> None:
        if found.iou is not None:
            self.finding.ious.append(found.iou)
        if found.difference is not None:
            self.finding.add(found.difference)

    def _object(self, before: dict[str, Any], after: dict[str, Any], path: str, depth: int) -> None:
        if before == after:
            return
        if pixels.is_array(before) and pixels.is_array(after):
            self._add_measured(pixels.compare_arrays(before, after, path, self._tolerance))
            return
        if (tables := (_columns(before), _columns(after))) and None not in tables:
            self._table(tables[0] or {}, tables[1] or {}, path)
            return
        files = _file(before), _file(after)
        if files[0] is not None and files[1] is not None:
            self._file(files[0], files[1], path)
            return
        for name in dict.fromkeys((*before, *after)):
            self.visit(before.get(name), after.get(name), _join(path, name), depth + 1)

    def _list(self, before: list[Any], after: list[Any], path: str, depth: int) -> None:
        if before == after:
            return
        records = _records(before), _records(after)
        if records[0] is not None and records[1] is not None:
            self._table(records[0], records[1], path)
            return
        if len(before) != len(after):
            note = f"{len(before):,} and {len(after):,} items"
            self.finding.add(Difference(path=path, kind="missing", note=note))
        for number, (one, other) in enumerate(zip(before, after, strict=False)):
            self.visit(one, other, _join(path, str(number)), depth + 1)

    def _table(self, before: "_Table", after: "_Table", path: str) -> None:
        """Compare cells by column name and row number."""
        notes = _shape_notes(before, after)
        both = [name for name in before if name in after]
        rows = min(_rows(before), _rows(after))
        cells = rows * len(both)
        if cells > MAX_CELLS:
            note = f"The tables have {cells:,} cells in common, too many to compare."
            self.finding.add(Difference(path=path, kind="table", note=note))
            return
        count = beyond = 0
        largest = 0.0
        for name in both:
            for one, other in zip(before[name], after[name], strict=False):
                if one == other:
                    continue
                count += 1
                if _are_numbers(one, other):
                    largest = max(largest, _distance(one, other))
                    beyond += not self._tolerance.covers(one, other)
                else:
                    beyond += 1
        if count or notes:
            self.finding.add(
                Difference(
                    path=path,
                    kind="table",
                    share=count / cells if cells else 1.0,
                    difference=largest if largest else None,
                    within=not beyond and not notes,
                    note="; ".join([f"{count:,} of {cells:,} cells differ", *notes]),
                )
            )


_Table = Mapping[str, list[Any]]


def _are_numbers(first: Any, second: Any) -> bool:
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in (first, second)
    )


def _distance(first: float, second: float) -> float:
    try:
        return float(abs(second - first))
    except OverflowError:
        return float("1.7976931348623157e308")


def _name(value: Any) -> str:
    names = {bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _file(value: Any) -> tuple[str, bytes] | None:
    """Return media type and content of a file in one of its JSON forms; ``None`` for no file."""
    try:
        if isinstance(value, dict):
            if not isinstance(value.get("b64"), str) or "dtype" in value:
                return None
            return str(value.get("media_type") or ""), base64.b64decode(value["b64"])
        head, comma, coded = value.partition(",")
        if comma and head.startswith("data:") and head.endswith(";base64"):
            return head[5:].partition(";")[0], base64.b64decode(coded)
    except (binascii.Error, ValueError):
        pass
    return None


def _records(value: list[Any]) -> _Table | None:
    """Return a table that is a list of records, by column; ``None`` for any other list."""
    if not value or not all(isinstance(row, dict) for row in value):
        return None
    names = dict.fromkeys(name for row in value for name in row)
    if len(names) * len(value) > MAX_CELLS or any(
        isinstance(cell, dict | list) for row in value for cell in row.values()
    ):
        return None
    return {name: [row.get(name) for row in value] for name in names}


def _columns(value: dict[str, Any]) -> _Table | None:
    """Return a table that is an object of columns; ``None`` for any other object."""
    columns = list(value.values())
    if len(columns) < 2 or not all(isinstance(column, list) for column in columns):
        return None
    if len({len(column) for column in columns}) > 1 or len(columns[0]) < 2:
        return None
    if any(isinstance(cell, dict | list) for column in columns for cell in column):
        return None
    return value


def _rows(table: _Table) -> int:
    return len(next(iter(table.values()), ()))


def _shape_notes(before: _Table, after: _Table) -> list[str]:
    notes = []
    if _rows(before) != _rows(after):
        notes.append(f"{_rows(before):,} and {_rows(after):,} rows")
    if gone := [name for name in before if name not in after]:
        notes.append(f"removed columns: {_names(gone)}")
    if new := [name for name in after if name not in before]:
        notes.append(f"new columns: {_names(new)}")
    return notes


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - MAX_COLUMNS} more" if len(listed) > MAX_COLUMNS else ""
    return ", ".join(name[:40] for name in listed[:MAX_COLUMNS]) + more
