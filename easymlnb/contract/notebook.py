"""The notebook in a bundle: its checks, and the removal of outputs."""

from collections.abc import Mapping
from typing import Any

from easymlnb.contract.errors import BundleRejected

_CELLS = ("code", "markdown", "raw")


def strip(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notebook without outputs, execution counts and widget state."""
    cells = []
    for cell in notebook["cells"]:
        stripped = {name: cell[name] for name in ("id", "cell_type", "attachments") if name in cell}
        stripped["source"] = text_of(cell["source"])
        stripped["metadata"] = {"tags": tags} if (tags := tags_of(cell)) else {}
        if cell["cell_type"] == "code":
            stripped |= {"outputs": [], "execution_count": None}
        cells.append(stripped)
    given = notebook.get("metadata") or {}
    metadata = {name: given[name] for name in ("kernelspec", "language_info") if name in given}
    minor = notebook.get("nbformat_minor", 0)
    return {"nbformat": 4, "nbformat_minor": minor, "metadata": metadata, "cells": cells}


def check_notebook(notebook: Any) -> dict[str, Any]:
    """Return ``notebook`` if it has nbformat 4, else raise ``BundleRejected``."""
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise BundleRejected("The file is not a notebook: its list of cells is missing.")
    if notebook.get("nbformat") != 4:
        raise BundleRejected(
            "The notebook does not have nbformat 4. Open and save it in JupyterLab."
        )
    if not isinstance(notebook.get("metadata", {}), dict):
        raise BundleRejected("The notebook's metadata is not a JSON object.")
    for number, cell in enumerate(notebook["cells"]):
        good = (
            isinstance(cell, dict)
            and cell.get("cell_type") in _CELLS
            and is_text(cell.get("source"))
            and isinstance(cell.get("metadata", {}), dict)
        )
        if not good:
            raise BundleRejected(f"Cell {number} of the notebook is invalid.")
    return notebook


def is_text(source: Any) -> bool:
    """Return whether a value can be the source of a cell."""
    lines = source if isinstance(source, list) else [source]
    return all(isinstance(line, str) for line in lines)


def text_of(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: Mapping[str, Any]) -> list[str]:
    tags = cell.get("metadata", {}).get("tags", [])
    return sorted({tag for tag in tags if isinstance(tag, str)}) if isinstance(tags, list) else []
