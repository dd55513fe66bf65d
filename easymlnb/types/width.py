"""How wide a CSV is, before a table is made of it: pandas takes minutes for one far too wide."""

import re
from collections.abc import Iterator

RECORDS = 2
"""Records that are looked at: names, and the first row. pandas refuses a later one that is wider
by itself, and at once."""

SPARE_CELLS = 10
WIDER = "The CSV cannot be read: its rows have more cells than its first line."

SPARE = 10_000
"""Blank lines that may stand among them."""


def check(data: bytes, separator: str, most: int) -> None:
    """Raise ``ValueError`` if the names or the first row of a CSV are more than ``most`` cells.

    Also if the row is far wider than the names: pandas would make an index of what is too much.
    """
    names = 0
    for width in _widths(data.removeprefix(b"\xef\xbb\xbf"), separator, most):
        if width > most:
            raise ValueError(f"It has more than {most} columns.")
        if names and width > names + SPARE_CELLS:
            raise ValueError(WIDER)
        names = width


def _widths(data: bytes, separator: str, most: int) -> Iterator[int]:
    """Yield how many cells the first records have, or for one too wide that it has too many."""
    # Quotes count where a cell begins; what stands between them may be separators and new lines.
    # Without the doubled ones each pair of quotes is a cell, or the begin and end of one.
    text = b"\n" + data.replace(b'""', b"")
    begins = re.compile(rb'[\r\n%s](?:"[^"]*"?)?' % separator.encode())
    width, start, found = 1, 1, 0
    for count, token in enumerate(begins.finditer(text)):
        if token[0][:1] == separator.encode():
            width += 1
        else:
            if width > 1 or text[start : token.start()].strip():
                yield width
                found += 1
            width, start = 1, token.start() + 1
        if width > most or found == RECORDS:
            break
        if count > RECORDS * most + SPARE:
            raise ValueError("The CSV cannot be read: it begins with too many blank lines.")
    if found < RECORDS:
        yield width
