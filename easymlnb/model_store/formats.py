"""Formats of saved models, and which one fits an object.

Formats import their libraries when they are used, so that none is needed for the others.
"""

import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from easymlnb.contract.errors import ModelNotTrusted, ModelUnsupported

SKOPS, SAFETENSORS, ONNX, JOBLIB, PICKLE = "skops", "safetensors", "onnx", "joblib", "pickle"
MLFLOW, FILES = "mlflow", "files"
FORMATS = (SKOPS, SAFETENSORS, ONNX, JOBLIB, PICKLE, MLFLOW, FILES)

RUNS_CODE = frozenset((JOBLIB, PICKLE, MLFLOW))
"""Formats whose files can run code when they are opened."""

INSTALL = "pip install 'easymlnb[train]'"


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model in a folder, before it is a version.

    - ``format``: one of ``FORMATS``
    - ``flavor``: how to load it: its ``main`` file, its class and the versions of packages
    - ``files``: the paths of its files by their names in the version
    """

    format: str
    flavor: dict[str, Any]
    files: dict[str, Path]


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """How a model is saved.

    - ``trusted``: types of skops that the author names
    - ``config``: what ``build`` gets when a torch model is loaded
    """

    trusted: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a version is loaded.

    - ``build``: makes the torch module that gets the weights, from the saved ``config``
    - ``device``: where torch puts the weights
    - ``trusted``: types of skops that the caller names
    - ``own``: whether the version is one of the caller's own, which may run code
    """

    build: Callable[..., Any] | None = None
    device: str = "cpu"
    trusted: tuple[str, ...] = ()
    own: bool = False


class Format(Protocol):
    """One way to store a model."""

    def save(self, model: Any, folder: Path, options: SaveOptions) -> SavedModel:
        """Write the model to files in the folder."""

    def load(self, folder: Path, flavor: dict[str, Any], options: LoadOptions) -> Any:
        """Return the model."""


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


def flavor_of(model: Any, main: str, *packages: str, **more: Any) -> dict[str, Any]:
    """Return how to load a model: its main file and class, and the versions of packages."""
    kind = type(model)
    found: dict[str, Any] = {
        "main": main,
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "python": platform.python_version(),
        "packages": {name: one for name in packages if (one := version_of(name))},
    }
    return found | more


def version_of(package: str) -> str:
    """Return the version of an installed package, or ``""``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def missing(package: str, format: str) -> ModelUnsupported:
    """Return the error for a format whose package is not installed."""
    return ModelUnsupported(
        f"Models in the format {format!r} need the package {package!r}. Run: "
        f"{INSTALL if package in ('skops', 'safetensors') else f'pip install {package}'}"
    )


def _is_state(model: Any) -> bool:
    """Return whether an object is a dict of torch's tensors."""
    if not isinstance(model, dict) or not model:
        return False
    values = model.values()
    return all(type(value).__module__.partition(".")[0] == "torch" for value in values)
