"""Compare two notebooks with nbdime, in a process of its own.

nbdime takes a second to load, and some seconds for large notebooks; the server must answer calls
meanwhile. The process reads both notebooks as JSON from its input and writes a ``NotebookDiff``.
"""

import asyncio
import difflib
import io
import logging
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from easymlnb.contract.notebook import tags_of, text_of

TIMEOUT = 120.0
"""Seconds for one comparison."""

MAX_TEXT = 1_000_000
"""Characters of the text; the rest is left out."""

CONTEXT = 2
"""Unchanged lines that are shown around a changed one."""

CACHED = 64

log = logging.getLogger("easymlnb.publishing")


class CellChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cell that was added, removed or changed. Cells count from 0."""

    change: Literal["added", "removed", "changed"]
    kind: Annotated[str, Meta(description="`code`, `markdown` or `raw`.")]
    before: Annotated[int | None, Meta(description="Its number in the first version.")] = None
    after: Annotated[int | None, Meta(description="Its number in the second version.")] = None
    lines: Annotated[
        list[str], Meta(description="Lines of the source, each after a space, `+` or `-`.")
    ] = []


class NotebookDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How two notebooks differ."""

    cells: list[CellChange] = []
    text: str = ""


class NotebookComparer:
    """Compares notebooks, one pair at a time, and remembers the latest results."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], NotebookDiff] = {}
        self._gate = asyncio.Semaphore(1)

    async def compare(
        self, key: tuple[str, str], before: dict[str, Any], after: dict[str, Any]
    ) -> NotebookDiff:
        """Return the difference of two notebooks; ``key`` identifies their contents."""
        async with self._gate:
            found = self._known.pop(key, None)
            if found is None:
                found = await _in_process(before, after)
            self._known[key] = found
            for old in list(self._known)[:-CACHED]:
                del self._known[old]
        return found


async def _in_process(before: dict[str, Any], after: dict[str, Any]) -> NotebookDiff:
    sent = msgspec.json.encode([_plain(before), _plain(after)])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "easymlnb_server.publishing.notebook_diff",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            out, said = await process.communicate(sent)
    except TimeoutError:
        return NotebookDiff(text="The notebooks are too large to be compared here.")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        log.error("Comparing notebooks failed: %s", said.decode(errors="replace")[-2000:])
        return NotebookDiff(text="The notebooks could not be compared; the server log has why.")
    return msgspec.json.decode(out, type=NotebookDiff)


def _plain(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook with the parts that identify a bundle: sources and tags of cells."""
    cells = []
    for cell in notebook["cells"]:
        tags = tags_of(cell)
        plain: dict[str, Any] = {
            "cell_type": cell["cell_type"],
            "metadata": {"tags": tags} if tags else {},
            "source": text_of(cell["source"]),
        }
        if cell["cell_type"] == "code":
            plain |= {"outputs": [], "execution_count": None}
        cells.append(plain)
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}


def compare(before: dict[str, Any], after: dict[str, Any]) -> NotebookDiff:
    """Compare two notebooks in this process."""
    import nbformat
    from nbdime.diffing.notebooks import diff_notebooks
    from nbdime.prettyprint import PrettyPrintConfig, pretty_print_diff

    first, second = nbformat.from_dict(before), nbformat.from_dict(after)
    found = diff_notebooks(first, second)
    out = io.StringIO()
    if found:
        config = PrettyPrintConfig(out=out, use_color=False, use_git=False, use_diff=False)
        pretty_print_diff(first, found, "", config)
    ops: list[Any] = next((op["diff"] for op in found if op.get("key") == "cells"), [])
    return NotebookDiff(
        cells=list(_cells(ops, first.cells, second.cells)), text=out.getvalue()[:MAX_TEXT]
    )


def _cells(ops: list[Any], before: list[Any], after: list[Any]) -> Iterator[CellChange]:
    """Translate nbdime's operations on the list of cells."""
    shift = 0  # from a number in ``before`` to that in ``after``
    for op in ops:
        at = op["key"]
        if op["op"] == "addrange":
            for cell in op["valuelist"]:
                yield _one("added", cell, "+", after=at + shift)
                shift += 1
        elif op["op"] == "removerange":
            for number in range(at, at + op["length"]):
                yield _one("removed", before[number], "-", before=number)
            shift -= op["length"]
        else:
            yield CellChange(
                change="changed",
                kind=after[at + shift].cell_type,
                before=at,
                after=at + shift,
                lines=_lines(before[at], after[at + shift]),
            )


def _one(change: Any, cell: Any, sign: str, **at: int) -> CellChange:
    lines = [f"{sign}{line}" for line in text_of(cell["source"]).splitlines()]
    return CellChange(change=change, kind=cell["cell_type"], lines=lines, **at)


def _lines(before: Any, after: Any) -> list[str]:
    old, new = text_of(before["source"]), text_of(after["source"])
    found = difflib.unified_diff(old.splitlines(), new.splitlines(), n=CONTEXT, lineterm="")
    lines = list(found)[2:]
    if tags_of(before) != tags_of(after):
        lines += [f"-tags: {', '.join(tags_of(before))}", f"+tags: {', '.join(tags_of(after))}"]
    return lines


def main() -> None:
    """Compare the notebooks on the standard input."""
    before, after = msgspec.json.decode(sys.stdin.buffer.read())
    sys.stdout.buffer.write(msgspec.json.encode(compare(before, after)))


if __name__ == "__main__":
    main()
