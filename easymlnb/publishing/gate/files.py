"""The files of a bundle as texts for the tools."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.notebook import is_text
from easymlnb.publishing.gate.sources import (
    MAX_TEXT,
    OVERLAP,
    SourceFile,
    code_of,
    lines_of,
    module_of,
)

BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
HEAD = 8192
"""Bytes that show whether a file is a text."""

BLOCK = 2**20

MAX_RUN = 50 * 2**20
"""Bytes of a notebook, with its outputs, whose code is checked."""


@dataclass(frozen=True, slots=True)
class LargeText:
    """A text that is read in blocks."""

    file: Path
    path: str
    encoding: str

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.file.stat().st_size

    def blocks(self) -> Iterator[SourceFile]:
        """Yield the text in parts; the end of a long line is in the next part too."""
        number, rest = 1, ""
        with self.file.open(encoding=self.encoding, errors="replace") as file:
            while block := file.read(BLOCK):
                lines = lines_of(rest + block)
                places = tuple({"file": self.path, "line": number + n} for n in range(len(lines)))
                yield SourceFile("large.txt", tuple(lines), places)
                number += len(lines) - 1
                rest = lines[-1][-OVERLAP:]


@dataclass(frozen=True, slots=True)
class BundleTexts:
    """The texts among the files of a bundle.

    modules: Python.
    notebooks: the code of notebooks and IPython scripts, which others may run with ``%run``.
    texts: other files, as far as they fit into ``MAX_TEXT``, the small ones first.
    large: the rest of them.
    large_modules: the paths of Python files, scripts and notebooks with too much code.
    """

    modules: list[SourceFile]
    notebooks: list[SourceFile]
    texts: list[SourceFile]
    large: list[LargeText]
    large_modules: list[str]


def texts_of(bundle: Bundle, folder: Path) -> BundleTexts:
    """Read the files of a bundle, which are in ``folder``, as far as they are texts."""
    found = BundleTexts([], [], [], [], [])
    left = MAX_TEXT
    files = [(path, folder.joinpath(*path.split("/"))) for path in sorted(bundle.manifest.files)]
    for number, (path, file) in enumerate(sorted(files, key=lambda one: one[1].stat().st_size)):
        size, encoding = file.stat().st_size, _encoding(file)
        if path.endswith(".py"):
            if size > MAX_TEXT:
                found.large_modules.append(path)
            else:
                text = file.read_text(encoding="utf-8", errors="replace")
                found.modules.append(module_of(f"module_{number}.py", path, text))
        elif encoding and size > left:
            found.large.append(LargeText(file, path, encoding))
        elif encoding:
            left -= size
            text = file.read_text(encoding=encoding, errors="replace")
            found.texts.append(module_of(f"text_{number}.txt", path, text))
        if path.endswith(".ipynb"):
            _add_notebook(found, f"notebook_{number}.py", path, file)
        elif path.endswith(".ipy"):
            _add_script(found, f"notebook_{number}.py", path, file)
    return found


def _add_script(found: BundleTexts, name: str, path: str, file: Path) -> None:
    """Add a script for IPython, which may have magics like a cell."""
    if file.stat().st_size > MAX_TEXT:
        found.large_modules.append(path)
        return
    text = file.read_text(encoding="utf-8", errors="replace")
    code = code_of([{"cell_type": "code", "source": text, "metadata": {}}])
    places = tuple({"file": path, "line": place["line"]} if place else {} for place in code.places)
    found.notebooks.append(replace(code, name=name, places=places))


def _add_notebook(found: BundleTexts, name: str, path: str, file: Path) -> None:
    """Add the code of a notebook, whatever the size of its outputs."""
    if file.stat().st_size > MAX_RUN:
        found.large_modules.append(path)
        return
    for code in _code_of(name, path, file.read_text(encoding="utf-8", errors="replace")):
        if sum(map(len, code.lines)) > MAX_TEXT:
            found.large_modules.append(path)
        else:
            found.notebooks.append(code)


def _code_of(name: str, path: str, text: str) -> Iterator[SourceFile]:
    """Yield the code of a notebook, unless it is no JSON: then it cannot be run either."""
    with suppress(ValueError, RecursionError):
        code = code_of(list(_cells_of(json.loads(text))))
        places = tuple({"file": path, **place} for place in code.places)
        yield replace(code, name=name, places=places)


def _cells_of(notebook: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the cells of a notebook without tags, which ``%run`` does not heed.

    It also reads damaged notebooks, and those of nbformat 3 with their worksheets.
    """
    top = notebook if isinstance(notebook, dict) else {}
    sheets = top.get("worksheets")
    for one in (top, *(sheets if isinstance(sheets, list) else ())):
        cells = one.get("cells") if isinstance(one, dict) else None
        for cell in cells if isinstance(cells, list) else ():
            known = cell if isinstance(cell, dict) else {}
            source = known.get("source", known.get("input"))
            is_code = known.get("cell_type") == "code" and is_text(source)
            yield {"cell_type": "code" if is_code else "raw", "source": source if is_code else ""}


def _encoding(file: Path) -> str:
    """Return the encoding of a text; empty for other files."""
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    return BOMS.get(head[:2]) or ("" if b"\0" in head else "utf-8")
