"""Make a version of an object: its files, signature and lineage, as the zip that is uploaded."""

import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from easymlnb._version import __version__
from easymlnb.contract.errors import ModelUnsupported
from easymlnb.model_store import signatures
from easymlnb.model_store.formats import SavedModel, SaveOptions, save_model

DOCUMENT, FOLDER = "model.json", "files/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What is said about a version besides its files.

    - ``metrics``, ``params``: results and parameters of the training
    - ``curves``: metrics as name, step and value
    - ``example``: rows of the input, which give the signature
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    curves: Iterable[tuple[str, int, float]] = ()
    example: Any = None
    note: str = ""
    origin: str = "saved"


def describe(saved: SavedModel, about: Description, model: Any = None) -> dict[str, Any]:
    """Return ``model.json`` of a version; raises ``ModelUnsupported`` for invalid values."""
    document = {
        "format": saved.format,
        "flavor": saved.flavor,
        "origin": about.origin,
        "signature": _signature(about.example, model),
        "metrics": {str(name): _number(name, value) for name, value in about.metrics.items()},
        "params": {str(name): _plain(value) for name, value in about.params.items()},
        "tags": {str(name): str(value) for name, value in about.tags.items()},
        "lineage": {"easymlnb": __version__, **about.lineage},
        "note": about.note,
        "curves": [[name, int(step), _number(name, value)] for name, step, value in about.curves],
    }
    try:
        json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelUnsupported(f"The description of the model is not JSON: {error}") from error
    return document


@contextmanager
def archive_of(
    model: Any, about: Description, *, format: str = "", options: SaveOptions | None = None
) -> Iterator[Path]:
    """Give the zip of a version of an object, which is removed afterwards.

    Raises ``ModelUnsupported``.
    """
    with tempfile.TemporaryDirectory(prefix="easymlnb-model-") as name:
        saved = save_model(model, Path(name) / "files", format=format, options=options)
        files = dict(saved.files)
        if (example := signatures.example_json(about.example)) is not None:
            path = Path(name) / signatures.EXAMPLE_FILE
            path.write_bytes(example)
            files.setdefault(signatures.EXAMPLE_FILE, path)
        yield pack(describe(saved, about, model), files, Path(name) / "version.zip")


def pack(document: Mapping[str, Any], files: Mapping[str, Path], target: Path) -> Path:
    """Write the zip of a version and return its path."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(DOCUMENT, json.dumps(document))
        for name, path in files.items():
            archive.write(path, FOLDER + name)
    return target


def _signature(example: Any, model: Any) -> dict[str, Any] | None:
    if example is None:
        return None
    result = None
    predict = getattr(model, "predict", None)
    if callable(predict):
        try:
            result = predict(example)
        except Exception:  # an example of another shape is still an example
            result = None
    return signatures.signature_of(example, result)


def _number(name: object, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ModelUnsupported(
            f"The metric {name!r} must be a number, not {value!r:.80}."
        ) from None
    if not isfinite(number):
        raise ModelUnsupported(f"The metric {name!r} must be a finite number, not {number}.")
    return number


def _plain(value: Any) -> Any:
    """Return a parameter as a JSON value; anything else as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "item") and not getattr(value, "shape", ()):
        return _plain(value.item())
    return os.fspath(value) if isinstance(value, os.PathLike) else repr(value)[:1000]
