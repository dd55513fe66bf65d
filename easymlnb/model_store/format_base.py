"""What all formats of models have in common: their names, options and records."""

import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from easymlnb.contract.errors import ModelUnsupported

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
