"""Read a CSV from any byte on, row by row, so that a scan can stop and continue."""

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from easymlnb.contract.errors import BadRequest
from easymlnb.types import delimited
from easymlnb.types.charset import BYTE_ORDER_MARKS, NO_CHARSETS

HEAD = 64 * 1024
"""Bytes at the begin of a table by which its separator and decimal sign are detected."""

MAX_CELL = 16 * 2**20
"""Maximum characters of a cell."""

MAX_LINE = 64 * 2**20
"""Maximum bytes of a line, so that a file without line breaks does not fill the memory."""

_COMMA_NUMBER = re.compile(r"\s*[+-]?\d+,\d+(?:[eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(?:,\d{3})+\s*")


@dataclass(frozen=True, slots=True)
class CsvHead:
    """The layout of a CSV; ``begin`` is the byte of the first row after the names."""

    columns: list[str]
    separator: str
    decimal: str
    charset: str
    begin: int


def read_head(file: BinaryIO, charset: str) -> CsvHead:
    """Return the layout of a CSV; raises ``BadRequest``."""
    file.seek(0)
    head = file.read(HEAD)
    skipped, charset = _charset(head, charset)
    whole = len(head) < HEAD
    text = _text(head[skipped:], charset, whole=whole)
    if not text.strip():
        raise BadRequest("The table is empty; its first row must name the columns.")
    lines = text if whole or "\n" not in text else text[: text.rindex("\n") + 1]
    try:
        separator = delimited.layout(lines, delimited.DelimitedOptions(max_rows=2**31)).separator
    except ValueError:
        # A row that does not match is an error of that row.
        first = lines.lstrip("\r\n ").partition("\n")[0]
        separator = max(delimited.SEPARATORS, key=first.count)
    rows = CsvRows(file, skipped, separator, charset)
    names = next(iter(rows), None) or []
    names = [name.strip() for name in names]
    while names and not names[-1]:
        names.pop()
    cells = list(islice(CsvRows(file, rows.position, separator, charset), 200))
    return CsvHead(names, separator, _decimal(cells, separator), charset, rows.position)


class CsvRows:
    """The rows of a CSV from a byte on; ``position`` is the byte after the last row."""

    def __init__(self, file: BinaryIO, position: int, separator: str, charset: str) -> None:
        self.position = position
        self._file = file
        self._separator = separator
        self._charset = charset

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the rows that are not blank; raises ``BadRequest``."""
        csv.field_size_limit(MAX_CELL)
        self._file.seek(self.position)
        read = self.position

        def lines() -> Iterator[str]:
            nonlocal read
            while line := self._file.readline(MAX_LINE + 1):
                read += len(line)
                if len(line) > MAX_LINE:
                    raise BadRequest(
                        f"The CSV has a line of more than {MAX_LINE // 2**20} MB after byte "
                        f"{read - len(line):,}. Rows must be separated by line breaks."
                    )
                yield _text(line, self._charset, whole=True)

        reader = csv.reader(lines(), delimiter=self._separator, strict=True)
        try:
            for row in reader:
                self.position = read
                if row and (len(row) > 1 or row[0].strip()):
                    yield row
        except csv.Error as error:
            raise BadRequest(
                f"The CSV cannot be read near byte {read:,}: {error}. A cell that starts with a "
                "double quote must end with one."
            ) from None


def _charset(head: bytes, declared: str) -> tuple[int, str]:
    """Return the bytes of the byte order mark, and the encoding; raises ``BadRequest``."""
    for mark, name in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            if name != "utf-8-sig":
                raise BadRequest(f"The table is {name.upper()}. Save it as UTF-8.")
            return len(mark), "utf-8"
    name = declared or "utf-8"
    try:
        name = codecs.lookup(name).name
    except LookupError:
        name = ""
    if name.replace("-", "_") in {"", *NO_CHARSETS} or name.startswith(("utf-16", "utf-32")):
        raise BadRequest(f"A table in {declared[:40]!r} cannot be read. Save it as UTF-8.")
    return 0, name


def _text(data: bytes, charset: str, *, whole: bool) -> str:
    try:
        text = data.decode(charset) if whole else _cut(data, charset)
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"The table is not text in {charset} (near {data[error.start : error.start + 8]!r}). "
            "Save it as UTF-8, or set the encoding: 'text/csv; charset=windows-1252'."
        ) from None
    if "\0" in text:
        raise BadRequest("The table is not text because it contains NUL characters.")
    return text


def _cut(data: bytes, charset: str) -> str:
    """Decode data whose last character may be incomplete."""
    return codecs.getincrementaldecoder(charset)().decode(data, final=False)


def _decimal(rows: list[list[str]], separator: str) -> str:
    """Return the decimal sign: a comma only if some number needs it and none has a point."""
    if separator == ",":
        return "."
    cells = [cell for row in rows for cell in row]
    with_comma = [cell for cell in cells if _COMMA_NUMBER.fullmatch(cell)]
    certain = any(not _THOUSANDS.fullmatch(cell) for cell in with_comma)
    points = any(re.fullmatch(r"\s*[+-]?\d+\.\d+\s*", cell) for cell in cells)
    return "," if certain and not points else "."


def with_point(cell: str) -> str:
    """Return a number with a decimal comma as Python reads it; other text stays."""
    return cell.replace(",", ".") if _COMMA_NUMBER.fullmatch(cell) else cell
