"""Make a notebook with a service of a model folder of MLflow."""

import json
import keyword
import re
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import ModelUnsupported
from easymlnb.contract.spec import NAME
from easymlnb.model_store.importing import MLMODEL, read_yaml
from easymlnb.model_store.mlflow_signature import (
    TABLE,
    TENSORS,
    ModelInput,
    ModelParameter,
    read_signature,
    refuse_constant,
)

FOLDER = "model"
"""The folder next to the notebook with the files of the model."""

MODEL = "_model"
"""The variable with the model; no service and no parameter has such a name."""

EXAMPLE = "input_example.json"
EXAMPLE_ROWS = 2
MAX_EXAMPLE = 2**20
"""Bytes of the largest example that is read."""

LIBRARIES = ("mlflow-skinny", "pandas", "numpy")
"""What loading any model needs besides what the model names."""

RUNS_CODE = (
    "Opening this model runs code that is stored in its files (pickle), with the rights of the "
    "services' owner. Publish it only if you know where it comes from."
)
DATA_ONLY = "The files of this model are data: opening them runs no code."


@dataclass(frozen=True, slots=True)
class Project:
    """What was made.

    - ``notebook``: the path of the notebook
    - ``name``: the service
    - ``runs_code``: whether opening the model runs code from its files
    - ``notes``: what its author should know
    """

    notebook: Path
    name: str
    runs_code: bool
    notes: tuple[str, ...]


def make_project(model: Path, target: Path, name: str = "") -> Project:
    """Write a notebook, the model's files and its packages to a new or empty folder.

    Nothing in the model's files is opened. Raises ``ModelUnsupported``.
    """
    described = _described(model)
    flavors = described["flavors"]
    name = _service_name(name or model.resolve().name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelUnsupported(f"{target} is not an empty folder. Name a new one.")
    if target.resolve().is_relative_to(model.resolve()):
        raise ModelUnsupported(f"{target} is in the model's own folder. Name one outside of it.")
    try:
        taken = read_signature(described.get("signature"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelUnsupported(
            f"The model's signature in {model / MLMODEL} is invalid. Save the model again."
        ) from error
    requirements = _requirements(model)
    risky = runs_code(flavors)
    notes = (*_python_note(flavors), *((RUNS_CODE,) if risky else ()))
    example = _example(model, taken)
    notebook = _notebook(_cells(name, described, taken, example, risky))
    target.mkdir(parents=True, exist_ok=True)
    _copy(model, target / FOLDER)
    (target / "requirements.txt").write_text(requirements, encoding="utf-8")
    path = target / f"{name}.ipynb"
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Project(path, name, risky, notes)


def runs_code(flavors: Mapping[str, Any]) -> bool:
    """Return whether opening a folder with these flavors runs code that is in its files."""
    python = flavors.get("python_function")
    if not isinstance(python, Mapping) or python.get("code"):
        return True
    loader = python.get("loader_module")
    if loader == "mlflow.onnx":
        return False
    own = flavors.get("sklearn")
    is_skops = isinstance(own, Mapping) and own.get("serialization_format") == "skops"
    return not (loader == "mlflow.sklearn" and is_skops)


def _described(folder: Path) -> dict[str, Any]:
    if not (folder / MLMODEL).is_file():
        raise ModelUnsupported(
            f"{folder} is not a model folder of MLflow: it has no file {MLMODEL!r}. Name the "
            "folder that mlflow.*.save_model or download_artifacts has written."
        )
    described = read_yaml(folder / MLMODEL)
    flavors = described.get("flavors")
    if not isinstance(flavors, dict) or not isinstance(flavors.get("python_function"), dict):
        known = ", ".join(map(str, flavors)) if isinstance(flavors, dict) and flavors else "none"
        raise ModelUnsupported(
            f"The model has no flavor 'python_function', by which it can be called; it has: "
            f"{known}."
        )
    links = [path for path in sorted(folder.rglob("*")) if path.is_symlink()]
    if links:
        raise ModelUnsupported(f"The model folder has a symbolic link, {links[0].name!r}.")
    return described


def _service_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_")[:63]
    if not NAME.match(name) or keyword.iskeyword(name):
        raise ModelUnsupported(
            f"{text!r} is not a name of a service. Name one with --name: lowercase letters, digits "
            "and underscores, such as 'forest', and no keyword of Python."
        )
    return name


def _python_note(flavors: Mapping[str, Any]) -> tuple[str, ...]:
    wanted = str(flavors["python_function"].get("python_version", ""))
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not wanted or wanted.split(".")[:2] == here.split("."):
        return ()
    return (f"The model was saved with Python {wanted}, and this is {here}; loading may fail.",)


def _requirements(model: Path) -> str:
    """Return the packages of the model; the small ``mlflow-skinny`` replaces ``mlflow``."""
    path = model / "requirements.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except ValueError as error:
        raise ModelUnsupported(f"{path} is not text in UTF-8. Save the model again.") from error
    lines = [re.sub(r"^mlflow(?=[=<>~!\s]|$)", "mlflow-skinny", line.strip()) for line in lines]
    named = {re.split(r"[=<>~!\s\[;]", line, maxsplit=1)[0].lower() for line in lines}
    return "\n".join([*filter(None, lines), *(one for one in LIBRARIES if one not in named)]) + "\n"


def _copy(model: Path, target: Path) -> None:
    shutil.copytree(model, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))


# the example


def _example(model: Path, taken: ModelInput) -> dict[str, Any] | None:
    """Return the first rows of the model's own example as arguments, if it has one that fits."""
    path = model / EXAMPLE
    if not path.is_file() or path.stat().st_size > MAX_EXAMPLE:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) and taken.kind == TABLE:
        return _table_example(found.get("columns"), found.get("data"))
    if taken.kind == TENSORS:
        values = found.get("inputs", found) if isinstance(found, dict) else found
        return _tensor_example(values, taken.main)
    return None


def _table_example(columns: Any, rows: Any) -> dict[str, Any] | None:
    """Return rows by the names of their columns; ``None`` if they are no table."""
    if not isinstance(columns, list) or not isinstance(rows, list) or not rows:
        return None
    first = rows[:EXAMPLE_ROWS]
    if not all(isinstance(row, list) and len(row) == len(columns) for row in first):
        return None
    return {"data": [dict(zip(map(str, columns), row, strict=True)) for row in first]}


def _tensor_example(values: Any, main: tuple[ModelParameter, ...]) -> dict[str, Any] | None:
    if isinstance(values, list) and len(main) == 1:
        return {main[0].name: values[:EXAMPLE_ROWS]}
    if isinstance(values, dict) and all(isinstance(values.get(one.given), list) for one in main):
        return {one.name: values[one.given][:EXAMPLE_ROWS] for one in main}
    return None


# the notebook


def _notebook(cells: list[dict[str, Any]]) -> dict[str, Any]:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(kind: str, source: str) -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": kind, "id": uuid.uuid4().hex[:8], "metadata": {}}
    if kind == "code":
        made |= {"execution_count": None, "outputs": []}
    return made | {"source": source}


def _cells(
    name: str,
    described: Mapping[str, Any],
    taken: ModelInput,
    example: dict[str, Any] | None,
    risky: bool,
) -> list[dict[str, Any]]:
    flavors = ", ".join(f"`{one}`" for one in described["flavors"] if one != "python_function")
    version = described.get("mlflow_version", "")
    about = (
        f"# {name.replace('_', ' ').capitalize()}\n\nA model of MLflow {version} "
        f"({flavors or '`python_function`'}), in the folder `{FOLDER}`.\n\n"
        f"{RUNS_CODE if risky else DATA_ONLY}"
    )
    return [
        _cell("markdown", about),
        _cell("code", _imports(taken)),
        _cell("code", _function(name, taken, example, risky)),
    ]


def _imports(taken: ModelInput) -> str:
    hints = " ".join(one.hint for one in (*taken.main, *taken.params))
    typed = [one for one in ("Annotated", "Any") if re.search(rf"\b{one}\b", hints)]
    lines = [f"from typing import {', '.join(typed)}", ""] if typed else []
    lines += ["import mlflow.pyfunc"]
    lines += ["import numpy as np"] if "np." in hints else []
    lines += ["import pandas as pd"] if "pd." in hints else []
    lines += ["", "import easymlnb as ml", "", f"{MODEL} = mlflow.pyfunc.load_model({FOLDER!r})"]
    return "\n".join(lines)


def _function(name: str, taken: ModelInput, example: dict[str, Any] | None, risky: bool) -> str:
    tags = ("mlflow", "runs-code") if risky else ("mlflow",)
    options = [f"tags={tags!r}"] + ([f"examples=[{example!r}]"] if example else [])
    parameters = [f"{one.name}: {one.hint}" for one in taken.main]
    parameters += [f"{one.name}: {one.hint} = {one.default}" for one in taken.params]
    lines = [
        f"@ml.service({', '.join(options)})",
        f"def {name}(",
        *(f"    {one}," for one in parameters),
        "):",
        '    """Predict with the model."""',
    ]
    if taken.casts:
        lines.append(f"    data = data.astype({taken.casts!r})")
    given = _given(taken)
    if taken.params:
        given += f", params={_dict(taken.params)}"
    return "\n".join([*lines, f"    return {MODEL}.predict({given})"])


def _given(taken: ModelInput) -> str:
    if taken.kind == TENSORS and any(one.given for one in taken.main):
        return _dict(taken.main)
    return taken.main[0].name


def _dict(parameters: tuple[ModelParameter, ...]) -> str:
    return "{" + ", ".join(f"{one.given!r}: {one.name}" for one in parameters) + "}"
