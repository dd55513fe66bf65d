"""A version as a folder of MLflow: the file ``MLmodel``, and what its flavors need.

MLflow reads YAML, of which JSON is a part.
"""

import json
import uuid
from typing import Any

import msgspec

from easymlnb.contract.errors import ModelNotExportable
from easymlnb_server.model_registry.responses import timestamp
from easymlnb_server.store.model_records import ModelVersionRow

MLMODEL = "MLmodel"
REQUIREMENTS = "requirements.txt"
EXAMPLE = "input_example.json"

MLFLOW_VERSION = "3.0.0"
"""The version of MLflow whose format this is."""

PACKAGES = ("scikit-learn", "skops", "numpy", "scipy", "pandas", "onnx", "cloudpickle")


def extra_files(version: ModelVersionRow) -> dict[str, bytes]:
    """Return the files that make MLflow's folder of a version, besides its own.

    Raises ``ModelNotExportable`` for a format that no flavor of MLflow reads.
    """
    if any(file.path == MLMODEL for file in version.files):
        return {}  # it was imported from such a folder
    flavors = _flavors(version)
    described: dict[str, Any] = {
        "artifact_path": "model",
        "flavors": flavors,
        "mlflow_version": MLFLOW_VERSION,
        "model_uuid": uuid.uuid5(uuid.NAMESPACE_URL, version.key).hex,
        "utc_time_created": timestamp(version.created).replace("T", " ").partition("+")[0],
        "metadata": {"easymlnb": {"model": version.model, "version": version.number}},
    }
    if signature := _signature(version.signature):
        described["signature"] = signature
    if any(file.path == EXAMPLE for file in version.files):
        described["saved_input_example_info"] = {
            "artifact_path": EXAMPLE,
            "type": "json_object",
        }
    return {
        MLMODEL: json.dumps(described, indent=2).encode(),
        REQUIREMENTS: _requirements(version).encode(),
    }


def _flavors(version: ModelVersionRow) -> dict[str, Any]:
    main = version.flavor.get("main", "")
    if version.format in ("skops", "pickle"):
        flavor = {
            "code": None,
            "pickled_model": main,
            "serialization_format": version.format,
            "sklearn_version": _packages(version).get("scikit-learn", ""),
        }
        if version.format == "skops":
            flavor["skops_trusted_types"] = version.flavor.get("contains", [])
        return {"python_function": _pyfunc(version, "sklearn"), "sklearn": flavor}
    if version.format == "onnx":
        flavor = {
            "code": None,
            "data": main,
            "onnx_version": _packages(version).get("onnx", ""),
            "providers": ["CPUExecutionProvider"],
        }
        return {"python_function": _pyfunc(version, "onnx"), "onnx": flavor}
    raise ModelNotExportable(
        f"MLflow has no flavor for the format {version.format!r} of version {version.number}. "
        "Download its files, or export it as an RO-Crate."
    )


def _pyfunc(version: ModelVersionRow, flavor: str) -> dict[str, Any]:
    return {
        "env": {"virtualenv": REQUIREMENTS},
        "loader_module": f"mlflow.{flavor}",
        "model_path": version.flavor.get("main", ""),
        "predict_fn": "predict",
        "python_version": version.flavor.get("python", ""),
    } | ({"data": version.flavor.get("main", "")} if flavor == "onnx" else {})


def _signature(signature: dict[str, Any] | None) -> dict[str, str]:
    """Return a signature as MLflow stores it: JSON in texts."""
    return {
        name: msgspec.json.encode(columns).decode()
        for name, columns in (signature or {}).items()
        if name in ("inputs", "outputs")
    }


def _packages(version: ModelVersionRow) -> dict[str, str]:
    found = version.flavor.get("packages", {})
    return found if isinstance(found, dict) else {}


def _requirements(version: ModelVersionRow) -> str:
    lines = [f"{name}=={one}\n" for name, one in _packages(version).items() if name in PACKAGES]
    return "".join(["mlflow\n", *sorted(lines)])
