"""The texts that the tools check, and where each of their lines comes from."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easymlnb.contract.notebook import tags_of, text_of
from easymlnb.publishing.bundle.static_analysis import expand_magics, parse

MAX_TEXT = 4 * 2**20
"""Characters of all outputs, all cells or one file that are searched for secrets."""

PIECE, OVERLAP = 400, 120
"""Longer lines are searched in pieces: some expressions need time for the square of a length."""

PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "video/", "audio/")
"""Begin the media types of outputs that are not texts; SVG is one."""

COLORS = re.compile(r"\x1b\[[0-9;]*m")
"""What terminals show as colors, also within a word."""

Place = Mapping[str, Any]
"""Fields of a finding that say where it is: ``cell`` or ``file``, ``line``, ``output``."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text in a file of its own, and the place of each line.

    name: the file's name in the folder that the tools read.
    places: one for each line; a list so that cells can be joined.
    """

    name: str
    lines: tuple[str, ...]
    places: tuple[Place, ...]

    def place(self, line: int) -> Place:
        """Return where a line is, counted from 1."""
        return self.places[min(max(line, 1), len(self.places)) - 1] if self.places else {}

    def write(self, folder: Path, encoding: str = "utf-8") -> None:
        """Write the text; characters that the encoding lacks are escaped."""
        text = "\n".join(self.lines) + "\n"
        (folder / self.name).write_text(text, encoding=encoding, errors="backslashreplace")

    def in_pieces(self) -> "SourceFile":
        """Return a file of another name in which long lines are divided."""
        kept = [
            (piece, place)
            for line, place in zip(self.lines, self.places, strict=True)
            for piece in _pieces(line)
        ]
        return _source(f"pieces_{self.name}", kept)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, as Python counts them."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def is_run(cell: Mapping[str, Any]) -> bool:
    """Return whether publishing runs a cell."""
    return cell["cell_type"] == "code" and "skip" not in tags_of(cell)


def is_python(cell: Mapping[str, Any]) -> bool:
    """Return whether publishing runs a cell, and it is Python with or without magics."""
    return is_run(cell) and parse(text_of(cell["source"])) is not None


def python_of(cell: Mapping[str, Any]) -> list[str] | None:
    """Return a cell as Python with the same lines, magics as calls; ``None`` if it is not Python.

    A cell whose lines change when its magics are expanded keeps only its other lines.
    """
    source = text_of(cell["source"])
    lines = lines_of(source)
    if _is_python(source):
        return lines
    if parse(source) is None:
        return None
    try:
        expanded = lines_of(expand_magics(source).rstrip("\n"))
    except (SyntaxError, ValueError, RecursionError):
        expanded = []
    if len(expanded) == len(lines) and _is_python("\n".join(expanded)):
        return expanded
    plain = ["pass" if line.startswith(("%", "!", "?")) else line for line in lines]
    return plain if _is_python("\n".join(plain)) else ["pass"] * len(lines)


def _is_python(source: str) -> bool:
    try:
        compile(source, "cell", "exec", dont_inherit=True, flags=0x400)  # only the syntax tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def code_of(cells: Iterable[Mapping[str, Any]]) -> SourceFile:
    """Return all cells that run as one Python file.

    It begins with two empty lines: a comment there would name the encoding of the file.
    """
    lines = ["", ""]
    places: list[Place] = [{}, {}]
    for index, cell in enumerate(cells):
        python = python_of(cell) if is_run(cell) else None
        for number, line in enumerate(python or (), start=1):
            lines.append(line)
            places.append({"cell": index, "line": number})
    return SourceFile("notebook.py", tuple(lines), tuple(places))


def cells_of(cells: Iterable[Mapping[str, Any]]) -> tuple[SourceFile, bool]:
    """Return the sources of all cells, also of texts, and whether they are complete."""
    found: list[tuple[str, Place]] = []
    left = MAX_TEXT
    for index, cell in enumerate(cells):
        text = text_of(cell["source"])
        for number, line in enumerate(lines_of(text[:left]), start=1):
            found.append((line, {"cell": index, "line": number}))
        left -= len(text)
        if left < 0:
            return _source("cells.py", found), False
    return _source("cells.py", found), True


def module_of(name: str, path: str, text: str) -> SourceFile:
    """Return a file of the bundle under another name."""
    found = [(line, {"file": path, "line": n}) for n, line in enumerate(lines_of(text), start=1)]
    return _source(name, found)


def outputs_of(cells: Iterable[Mapping[str, Any]]) -> tuple[SourceFile, bool]:
    """Return the texts of all outputs, and whether they are complete."""
    found: list[tuple[str, Place]] = []
    left = MAX_TEXT
    for index, cell in enumerate(cells):
        for text in _texts(cell.get("outputs")):
            place = {"cell": index, "output": True}
            found += [(line, place) for line in lines_of(text[:left])]
            left -= len(text)
            if left < 0:
                return _source("outputs.txt", found), False
    return _source("outputs.txt", found), True


def _source(name: str, found: Iterable[tuple[str, Place]]) -> SourceFile:
    kept = list(found)
    return SourceFile(name, tuple(line for line, _ in kept), tuple(place for _, place in kept))


def _pieces(line: str) -> Iterator[str]:
    yield line[:PIECE]
    for start in range(PIECE - OVERLAP, len(line) - OVERLAP, PIECE - OVERLAP):
        yield line[start : start + PIECE]


def _texts(outputs: Any) -> Iterator[str]:
    """Yield the texts of a cell's outputs, also of damaged ones."""
    for output in outputs if isinstance(outputs, list) else ():
        if not isinstance(output, dict):
            continue
        given = output.get("data")
        data: dict[str, Any] = given if isinstance(given, dict) else {}
        values = [output.get(name) for name in ("text", "traceback", "ename", "evalue")]
        texts = [value for kind, value in data.items() if not str(kind).startswith(PICTURES)]
        for value in (*values, *texts):
            if isinstance(value, dict):
                yield json.dumps(value, ensure_ascii=False)
            elif isinstance(value, str | list):
                yield COLORS.sub("", "".join(one for one in value if isinstance(one, str)))
