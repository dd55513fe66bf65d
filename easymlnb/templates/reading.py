"""Read tables as people's programs write them: encoding, separator, decimal sign, dates.

What is detected is a ``Reading``. A model keeps it, so that later data is read in the same way.
"""

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import msgspec

from easymlnb.contract.errors import CallerError
from easymlnb.types import charset, column_inference, delimited, table_encoding
from easymlnb.types.base import Upload
from easymlnb.types.uploaded_files import Data

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 1_000_000

_UNDEFINED = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
"""Bytes that windows-1252 does not define."""

_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
"""A number whose comma may be a sign between thousands."""

_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""The first line of files that Excel writes with an explicit separator."""

_BINARY = (b"PAR1", b"\xff\xff\xff\xff", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"BZh")


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a table is read; an empty value is detected.

    - ``encoding``: such as ``utf-8`` or ``windows-1252``
    - ``separator``: of CSV, one character
    - ``decimal``: ``.`` or ``,``
    - ``dates``: whether ``03/04/2025`` is in April (``day``) or in March (``month``)
    """

    encoding: str = ""
    separator: str = ""
    decimal: Literal["", ".", ","] = ""
    dates: Literal["", "day", "month"] = ""

    def to_dict(self) -> dict[str, str]:
        """Return plain JSON values."""
        found: dict[str, str] = msgspec.to_builtins(self)
        return found


def check_reading(reading: Reading) -> None:
    """Raise ``CallerError`` if no table can be read in this way."""
    if len(reading.separator) > 1 or reading.separator in ('"', "\r", "\n"):
        raise CallerError(
            f"Invalid reading: separator must be one character, such as ';', not "
            f"{reading.separator[:20]!r}."
        )


def read_table(data: Data, reading: Reading, name: str = "") -> "tuple[pd.DataFrame, Reading]":
    """Return a table and how it was read; raises ``CallerError`` with advice."""
    if not len(data):
        raise CallerError("The file is empty. Choose a table with column names in its first line.")
    try:
        frame, found = _read(data, reading, name)
    except ValueError as error:
        raise CallerError(f"The table cannot be read. {error}") from error
    if frame.empty:
        raise CallerError("The table has no rows: only its column names were found.")
    return frame, found


def _read(data: Data, reading: Reading, name: str) -> "tuple[pd.DataFrame, Reading]":
    begin = bytes(data[:8])
    if begin.startswith(_BINARY) or begin.lstrip()[:1] in (b"[", b"{"):
        options = delimited.DelimitedOptions(MAX_ROWS)
        return table_encoding.read_table(Upload(data, name, "application/json"), options), reading
    encoding = reading.encoding or detect_encoding(data)
    text = charset.decode(data, encoding)
    separator = reading.separator
    if line := _SEPARATOR_LINE.match(text):
        text, separator = text[line.end() :], separator or line[1]
    separator = separator or _bar(text)
    options = delimited.DelimitedOptions(MAX_ROWS, {}, separator, reading.decimal)
    options = delimited.detect(text, options)
    if options.separator == "," == options.decimal:
        options = replace(options, decimal=".")  # then numbers with a comma are quoted texts
    frame = delimited.read(text, options).rename(columns=str.strip)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"Two columns have the name {str(twice)[:40]!r}. Rename one of them.")
    comma = "," in (reading.decimal, options.decimal)
    # With another separator, ``detect`` has decided: a column of numbers may have points.
    comma = comma or (options.separator == "," and _has_commas(frame))
    found = Reading(
        encoding=encoding,
        separator=options.separator,
        decimal="," if comma else ".",
        dates=reading.dates,
    )
    return _without_blank_columns(frame), found


def _bar(text: str) -> str:
    """Return ``|`` if the first line of a text has it and no other separator, else nothing."""
    first = text.lstrip("\r\n ").partition("\n")[0]
    return "|" if "|" in first and not any(sign in first for sign in delimited.SEPARATORS) else ""


def _has_commas(frame: "pd.DataFrame") -> bool:
    """Return whether a column of texts has numbers with a decimal comma."""
    for _, column in frame.items():
        if column.dtype.kind in "iufbM":
            continue
        cells = {cell.strip() for cell in column.dropna().tolist() if isinstance(cell, str)}
        known = [*(cells - {"", *column_inference.MISSING})]
        if column_inference.are_numbers(known, ",") and any(
            "," in cell and not _THOUSANDS.fullmatch(cell) for cell in known
        ):
            return True
    return False


def _without_blank_columns(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table without unnamed columns that are empty, which spreadsheets add."""
    blank = [
        name
        for name in frame.columns
        if str(name).startswith("Unnamed: ") and frame[name].isna().all()
    ]
    return frame.drop(columns=blank)


def detect_encoding(data: Data) -> str:
    """Return the encoding of a text: UTF-8 if it is valid, else that of Windows."""
    head = bytes(data[:4])
    for mark, name in charset.BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return name
    try:
        str(data, "utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        undefined = any(byte in _UNDEFINED for byte in bytes(data[: 2**20]))
        return "latin-1" if undefined else "windows-1252"


def with_dates(reading: Reading, dates: str) -> Reading:
    """Return a reading with the order of days and months that was detected."""
    kind: Literal["", "day", "month"] = "day" if dates == "day" else "month" if dates else ""
    return msgspec.structs.replace(reading, dates=reading.dates or kind)
