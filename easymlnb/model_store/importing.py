"""Add files that other tools made as a version: a model folder of MLflow, ONNX, or any files."""

import json
import tempfile
from pathlib import Path
from typing import Any

from easymlnb.client import Client
from easymlnb.contract.errors import ModelUnsupported
from easymlnb.model_store.format_base import FILES, MLFLOW, ONNX, PICKLE, SKOPS, SavedModel
from easymlnb.model_store.formats import save_model
from easymlnb.model_store.saving import Description, describe, pack

MLMODEL = "MLmodel"


def import_files(client: Client, path: Path, name: str, *, note: str = "") -> dict[str, Any]:
    """Add a file or folder as a version of a model, and return the version.

    Nothing in the files is opened. Raises ``ModelUnsupported``.
    """
    with tempfile.TemporaryDirectory(prefix="easymlnb-model-") as folder:
        saved, lineage, signature = read(path, Path(folder))
        about = Description(origin="imported", note=note, lineage=lineage)
        document = describe(saved, about) | {"signature": signature}
        archive = pack(document, saved.files, Path(folder) / "version.zip")
        return client.models.add_version(name, archive)


def read(path: Path, folder: Path) -> tuple[SavedModel, dict[str, Any], dict[str, Any] | None]:
    """Return what a path has: its files, where they come from, and the signature."""
    if not path.exists():
        raise ModelUnsupported(f"There is no file or folder {path}.")
    if path.is_dir() and (path / MLMODEL).is_file():
        return _mlflow(path)
    saved = save_model(path, folder / "files", format=ONNX if path.suffix == ".onnx" else FILES)
    return saved, {"imported_from": path.name}, None


def _mlflow(folder: Path) -> tuple[SavedModel, dict[str, Any], dict[str, Any] | None]:
    described = read_yaml(folder / MLMODEL)
    flavors = described.get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        raise ModelUnsupported(f"The file {folder / MLMODEL} names no flavor of MLflow.")
    files = {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    format, main = _format_of(flavors)
    if main not in files:
        raise ModelUnsupported(f"The folder {folder} has no file {main!r}, which MLmodel names.")
    flavor: dict[str, Any] = {"main": main, "flavors": sorted(map(str, flavors))}
    python = flavors.get("python_function") or {}
    flavor["python"] = str(python.get("python_version", ""))
    sklearn = flavors.get("sklearn") or {}
    if version := sklearn.get("sklearn_version"):
        flavor["packages"] = {"scikit-learn": str(version)}
    lineage = {"mlflow_version": str(described.get("mlflow_version", ""))}
    if run := described.get("run_id"):
        lineage["mlflow_run"] = str(run)
    return SavedModel(format, flavor, files), lineage, _signature(described.get("signature"))


def _format_of(flavors: dict[str, Any]) -> tuple[str, str]:
    """Return our format for the flavors of a folder, and its main file."""
    if sklearn := flavors.get("sklearn"):
        main = str(sklearn.get("pickled_model", "model.pkl"))
        return (SKOPS if sklearn.get("serialization_format") == "skops" else PICKLE), main
    if onnx := flavors.get("onnx"):
        return ONNX, str(onnx.get("data", "model.onnx"))
    return MLFLOW, MLMODEL


def _signature(given: Any) -> dict[str, Any] | None:
    """Return the signature of MLmodel, whose parts are JSON in texts."""
    if not isinstance(given, dict):
        return None
    found = {}
    for name in ("inputs", "outputs"):
        if isinstance(given.get(name), str):
            found[name] = json.loads(given[name])
    return found or None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; raises ``ModelUnsupported``."""
    try:
        import yaml
    except ImportError as error:
        raise ModelUnsupported(
            "Folders of MLflow are described in YAML. Run: pip install pyyaml"
        ) from error
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelUnsupported(f"The file {path} is not valid YAML: {error}") from error
    return found if isinstance(found, dict) else {}
