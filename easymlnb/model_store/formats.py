"""Save and load models, in the format that fits an object.

Formats import their libraries when they are used, so that none is needed for the others.
"""

from pathlib import Path
from typing import Any

from easymlnb.contract.errors import ModelNotTrusted, ModelUnsupported
from easymlnb.model_store.format_base import (
    FILES,
    FORMATS,
    ONNX,
    RUNS_CODE,
    SAFETENSORS,
    SKOPS,
    Format,
    LoadOptions,
    SavedModel,
    SaveOptions,
)

__all__ = [
    "LoadOptions",
    "SaveOptions",
    "SavedModel",
    "format_of",
    "load_model",
    "save_model",
]


def save_model(
    model: Any, folder: Path, *, format: str = "", options: SaveOptions | None = None
) -> SavedModel:
    """Save a model in a folder, in the format that fits it unless one is named.

    Raises ``ModelUnsupported`` if none fits, or if the format cannot store it safely.
    """
    chosen = format or format_of(model)
    if chosen not in FORMATS:
        raise ModelUnsupported(f"Unknown format {format!r}. Use one of {', '.join(FORMATS)}.")
    folder.mkdir(parents=True, exist_ok=True)
    return implementation(chosen).save(model, folder, options or SaveOptions())


def load_model(folder: Path, format: str, flavor: dict[str, Any], options: LoadOptions) -> Any:
    """Return the model in a folder, whose files have been checked.

    Raises ``ModelNotTrusted`` or ``ModelUnsupported``.
    """
    if format not in FORMATS:
        raise ModelUnsupported(
            f"This version of easymlnb does not know the format {format!r}. Install a newer one."
        )
    if format in RUNS_CODE and not options.own:
        raise ModelNotTrusted(not_trusted(format))
    return implementation(format).load(folder, flavor, options)


def not_trusted(format: str) -> str:
    """Return why a file of somebody else is not opened, and what to do."""
    return (
        f"Opening a file in the format {format!r} can run code, so only its own author's code "
        "opens it, and an uploaded one only after its owner has allowed that once: "
        "easymlnb models trust NAME@VERSION"
    )


def format_of(model: Any) -> str:
    """Return the safe format that fits an object; raises ``ModelUnsupported``."""
    if isinstance(model, Path):
        return ONNX if model.suffix == ".onnx" else FILES
    packages = [kind.__module__.partition(".")[0] for kind in type(model).__mro__]
    if "torch" in packages or _is_state(model):
        return SAFETENSORS
    if "sklearn" in packages:
        return SKOPS
    if packages[0] == "onnx":
        return ONNX
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    raise ModelUnsupported(
        f"There is no safe format for an object of {kind}. Save a model of scikit-learn, a torch "
        "module, an ONNX model or the path of a file or folder; or name the format "
        "'joblib' or 'pickle', which only your own services can open."
    )


def implementation(format: str) -> Format:
    """Return the code for a format."""
    if format == SKOPS:
        from easymlnb.model_store.sklearn_format import SklearnFormat

        return SklearnFormat()
    if format == SAFETENSORS:
        from easymlnb.model_store.torch_format import TorchFormat

        return TorchFormat()
    from easymlnb.model_store import file_formats

    return file_formats.implementation(format)


def _is_state(model: Any) -> bool:
    """Return whether an object is a dict of torch's tensors."""
    if not isinstance(model, dict) or not model:
        return False
    values = model.values()
    return all(type(value).__module__.partition(".")[0] == "torch" for value in values)
