"""Notebooks for tests: made from cells, and the examples of this repository."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
DATA = ROOT.parent / "shared" / "data"


def make_notebook(*cells: str, skip: tuple[int, ...] = ()) -> nbformat.NotebookNode:
    """Return a notebook of code cells; those whose number is in ``skip`` are tagged so."""
    made = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    for number, source in enumerate(cells):
        cell = nbformat.v4.new_code_cell(source, id=f"cell-{number}")
        if number in skip:
            cell.metadata["tags"] = ["skip"]
        made.cells.append(cell)
    return made


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


def run(name: str) -> dict[str, Any]:
    """Run a notebook top to bottom, without the cells that a worker skips, and return its names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in read(name).cells:
        if cell.cell_type == "code" and "skip" not in cell.metadata.get("tags", ()):
            exec(compile(cell.source, f"{name}#{cell.id}", "exec"), names)
    return names


def data(name: str) -> Path:
    """Return a file of real data, or skip the test where there is none."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"The real data, {name}, is not here; it is no part of the project.")
    return path
