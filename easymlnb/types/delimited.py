"""Read CSV: separator, decimal sign, rows and types of columns.

pandas parses the cells. What it would accept silently raises an error here: rows that are longer or
shorter than the first line, duplicate names, and conversions that lose information.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from easymlnb.types import column_inference, columns

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t"
"""Separators that are detected."""

MAX_COLUMNS = 10_000
MAX_EXTRA_BLANK_LINES = 10_000
"""Blank lines that a text may have in excess of others."""
_SEPARATOR_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_HEAD = re.compile(r'(?:"[^"]*"|[^"\r\n]|")*?(?=[\r\n]|\Z)')
_LONE_CR = re.compile(r"\r(?!\n)")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")


@dataclass(frozen=True, slots=True)
class DelimitedOptions:
    """Options of a parameter; an empty ``separator`` or ``decimal`` is detected."""

    max_rows: int
    kinds: Mapping[str, str] = field(default_factory=dict)
    separator: str = ""
    decimal: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The separator of a text, and its numbers of columns and rows."""

    separator: str
    columns: int
    rows: int


class TooManyRows(ValueError):
    """The table has more rows than are allowed."""

    def __init__(self, max_rows: int) -> None:
        super().__init__(f"The table exceeds the limit of {max_rows:,} rows. Send fewer.")


class TooManyColumns(ValueError):
    """The table has more columns than are allowed."""

    def __init__(self) -> None:
        super().__init__(f"The table exceeds the limit of {MAX_COLUMNS} columns.")


class _InvalidCsv(ValueError):
    def __init__(self, why: str) -> None:
        super().__init__(f"Invalid CSV: {why}")


def read(text: str, reading: DelimitedOptions) -> "pd.DataFrame":
    """Read a text; raises ``ValueError``."""
    import pandas as pd

    table_layout = layout(text, reading)
    names = _names(text, table_layout)
    declared = {at: reading.kinds[name] for at, name in enumerate(names) if name in reading.kinds}
    decimal = reading.decimal
    frame = _inferred(text, table_layout, declared, decimal)
    if frame is None:
        frame = _parse(text, table_layout, "object")
        decimal = decimal or _decimal(frame, declared, table_layout.separator)
        if decimal == "," and not reading.decimal:
            guessed = _inferred(text, table_layout, declared, decimal)
            frame = frame if guessed is None else guessed
    typed = {
        at: _typed(frame[at].rename(name), declared.get(at, "any"), decimal or ".")
        for at, name in enumerate(names)
    }
    return pd.DataFrame(typed).set_axis(names, axis=1)


def detect(text: str, reading: DelimitedOptions) -> DelimitedOptions:
    """Return a reading with the separator and decimal sign of a text; raises ``ValueError``."""
    table_layout = layout(text, reading)
    decimal = reading.decimal or "."
    if not reading.decimal and table_layout.separator != ",":
        names = _names(text, table_layout)
        kinds = reading.kinds
        declared = {at: kinds[name] for at, name in enumerate(names) if name in kinds}
        if _inferred(text, table_layout, declared, "") is None:
            texts = _parse(text, table_layout, "object")
            decimal = _decimal(texts, declared, table_layout.separator)
    return replace(reading, separator=table_layout.separator, decimal=decimal)


def _inferred(
    text: str, table_layout: Layout, declared: Mapping[int, str], decimal: str
) -> "pd.DataFrame | None":
    """Return the rows with the types that pandas infers, or ``None`` if its rules may differ.

    This is several times faster than checking each cell.
    """
    import numpy as np

    if _ambiguous_cells(table_layout.separator, decimal).search(text):
        return None
    texts = {at: "object" for at, kind in declared.items() if kind in ("str", "datetime")}
    frame = _parse(text, table_layout, texts, decimal or ".")
    numbers = frame.select_dtypes("float").to_numpy()
    return None if np.isinf(numbers).any() else frame


def _is_fraction(text: str) -> bool:
    return "." in text and not _THOUSANDS.fullmatch(text.strip().replace(".", ","))


def _typed(column: "pd.Series[Any]", kind: str, decimal: str) -> "pd.Series[Any]":
    """Convert a column, whose type pandas may have inferred, to its kind."""
    import pandas as pd

    if kind == "str":
        return column.astype(column_inference.text_type())
    if column.dtype.kind in "iufb":
        return column if kind == "any" else columns.convert(column, kind)
    if kind == "any":
        return column_inference.infer_from_texts(column, decimal)
    words = {"", *column_inference.MISSING}
    known = [None if isinstance(c, str) and c.strip() in words else c for c in column.tolist()]
    return columns.convert(pd.Series(known, name=column.name, dtype="object"), kind, decimal)


def layout(text: str, reading: DelimitedOptions) -> Layout:
    """Detect the layout of a text; raises ``ValueError``."""
    if not text.strip():
        raise ValueError("The CSV is empty; its first line must name the columns.")
    if reading.separator:
        return _layout(text, reading.separator, reading.max_rows)
    head = re.sub(r'"[^"]*"', "", _HEAD.match(text.lstrip("\r\n "))[0])  # type: ignore[index]
    counts = {separator: head.count(separator) for separator in SEPARATORS if separator in head}
    if len(counts) < 2:
        return _layout(text, next(iter(counts), ","), reading.max_rows)
    fitting = {}
    for separator in counts:
        try:
            fitting[separator] = _layout(text, separator, reading.max_rows)
        except _InvalidCsv:
            continue
    if not fitting:
        return _layout(text, max(counts, key=lambda separator: counts[separator]), reading.max_rows)
    best, *others = sorted(fitting, key=lambda separator: -counts[separator])
    if others and counts[others[0]] == counts[best]:
        one, other = _SEPARATOR_NAMES[best], _SEPARATOR_NAMES[others[0]]
        raise _InvalidCsv(
            f"the cells could be separated by {one} or by {other}; put column names that contain "
            "one of them in double quotes."
        )
    return fitting[best]


def _layout(text: str, separator: str, max_rows: int) -> Layout:
    head, *rows = _lines(text, separator)
    if len(rows) > max_rows:
        raise TooManyRows(max_rows)

    def filled(line: str) -> int:
        return line.rstrip(separator + " ").count(separator) + 1

    columns = head.count(separator) + 1
    widths = [row.count(separator) + 1 for row in rows]
    if columns > MAX_COLUMNS or max(widths, default=0) > MAX_COLUMNS:
        raise TooManyColumns
    # Empty names above empty cells are only separators at the ends of lines.
    if filled(head) < columns and all(filled(row) <= filled(head) for row in rows):
        columns = filled(head)
    for at, (row, width) in enumerate(zip(rows, widths, strict=True)):
        if width < columns:
            raise _InvalidCsv(
                f"row {at + 1} has fewer cells than the first line ({width}, not {columns}); "
                "write an empty cell for a missing value."
            )
        if width > columns and filled(row) > columns:
            raise _InvalidCsv(
                f"row {at + 1} has more cells than the first line ({filled(row)}, not {columns})."
            )
    return Layout(separator, columns, len(rows))


def _lines(text: str, separator: str) -> list[str]:
    """Return the lines that are not blank, with a letter in place of each quoted cell."""
    if '"' in text:
        quoted = rf'(^|[{re.escape(separator)}\r\n])"(?:[^"]++|"")*+"'
        text = re.sub(quoted, r"\1x", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    blank = " \t".replace(separator, "")
    lines = text.split("\n")
    filled = [line for line in lines if line.strip(blank)]
    if len(lines) > 2 * len(filled) + MAX_EXTRA_BLANK_LINES:
        raise _InvalidCsv("the file has too many blank lines.")
    return filled


def _stream(text: str) -> io.StringIO:
    """Return a text for pandas: with lone CRs, pandas 2 may use all memory, even for 80 bytes."""
    return io.StringIO(_LONE_CR.sub("\n", text))


def _parse(text: str, table_layout: Layout, types: Any, decimal: str = ".") -> "pd.DataFrame":
    """Return the rows with numbers as names; pandas infers the types that are not given."""
    import pandas as pd

    try:
        frame: pd.DataFrame = pd.read_csv(
            _stream(text),
            sep=table_layout.separator,
            header=0,
            names=range(table_layout.columns),
            # Ignores the extra separators of rows that are longer than the first line.
            usecols=range(table_layout.columns),
            index_col=False,
            dtype=types,
            decimal=decimal,
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
        )
    except (ValueError, pd.errors.ParserError, OverflowError) as error:
        raise _InvalidCsv(_first_line(error)) from None
    if len(frame) != table_layout.rows:
        raise _InvalidCsv("a cell starts with a double quote, but does not end with one.")
    return frame


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0].rpartition("C error: ")[2]
    return f"{text[:200].rstrip('.')}."


def _names(text: str, table_layout: Layout) -> list[str]:
    """Return the names of the columns; those without a name are numbered, as in pandas."""
    import pandas as pd

    try:
        head = pd.read_csv(
            _stream(text), sep=table_layout.separator, header=None, nrows=1, dtype="object",
            index_col=False, na_filter=False,
        )  # fmt: skip
    except (ValueError, pd.errors.ParserError) as error:
        raise _InvalidCsv(_first_line(error)) from None
    names = [str(name) for name in head.iloc[0, : table_layout.columns]]
    return [name if name.strip() else f"Unnamed: {at}" for at, name in enumerate(names)]


def _ambiguous_cells(separator: str, decimal: str) -> "re.Pattern[str]":
    """Return the pattern of cells for which the rules of pandas differ."""
    around = re.escape(separator) + r'"\r\n'
    begin, end = f"[{around} ]", rf" *(?:[{around}]|\Z)"
    patterns = [r"\+[0-9.,]", rf"-?0[0-9][0-9.,]*{end}", "-?[0-9]{16}", "[+-]?(?i:inf|nan)"]
    if not decimal and separator != ",":
        # Numbers with a comma determine the decimal sign of the file.
        patterns.append(rf"-?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?{end}")
    return re.compile(f"{begin}(?:{'|'.join(patterns)})")


def _decimal(texts: "pd.DataFrame", declared: Mapping[int, str], separator: str) -> str:
    """Return the decimal sign of a file: a comma only if it is unambiguous.

    The comma is then not the separator, some column contains only numbers with commas, of which one
    is not a thousands separator, and no column of numbers has a decimal point.
    """
    if separator == ",":
        return "."
    certain = False
    for at in range(texts.shape[1]):
        if declared.get(at) in ("str", "bool", "datetime"):
            continue
        known = [
            cell.strip()
            for cell in texts[at].dropna()
            if cell.strip() not in column_inference.MISSING
        ]
        if any("," in cell for cell in known) and column_inference.are_numbers(known, ","):
            certain = certain or not all(
                _THOUSANDS.fullmatch(cell.strip()) for cell in known if "," in cell
            )
        elif column_inference.are_numbers(known, ".") and any(map(_is_fraction, known)):
            return "."
    return "," if certain else "."
