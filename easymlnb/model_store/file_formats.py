"""ONNX, pickles, MLflow's folders, and files without a format of ours."""

import pickle
import shutil
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import ModelUnsupported
from easymlnb.model_store.format_base import (
    FILES,
    JOBLIB,
    MLFLOW,
    ONNX,
    PICKLE,
    Format,
    LoadOptions,
    SavedModel,
    SaveOptions,
    flavor_of,
    missing,
)

ONNX_TYPES = {"float": "float32", "double": "float64", "string": "object", "float16": "float16"} | {
    name: name
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}
"""Types of numpy for those of ONNX."""


class OnnxModel:
    """An ONNX model in onnxruntime.

    - ``session``: its ``onnxruntime.InferenceSession``
    """

    def __init__(self, session: Any) -> None:
        self.session = session

    def predict(self, x: Any) -> Any:
        """Return the first output for ``x``: an array, a table, or a dict of arrays by input.

        Numbers are converted to the types of the inputs. A table with the names of several inputs
        gives each its column.
        """
        inputs = self.session.get_inputs()
        if isinstance(x, dict):
            given = x
        elif hasattr(x, "columns") and len(inputs) > 1:
            given = {one.name: x[[one.name]] for one in inputs}
        else:
            given = {inputs[0].name: x}
        typed = {one.name: _typed(given[one.name], one.type) for one in inputs if one.name in given}
        return self.session.run(None, typed)[0]


def _typed(value: Any, kind: str) -> Any:
    """Return a value as an array of the type of an input, such as ``tensor(float)``."""
    import numpy as np

    dtype = ONNX_TYPES.get(kind.removeprefix("tensor(").removesuffix(")"))
    return np.asarray(value) if dtype is None else np.asarray(value, dtype)


class OnnxFormat:
    """The format ``onnx``."""

    def save(self, model: Any, folder: Path, options: SaveOptions) -> SavedModel:
        path = folder / "model.onnx"
        if isinstance(model, Path):
            shutil.copyfile(_file(model), path)
        elif hasattr(model, "SerializeToString"):
            path.write_bytes(model.SerializeToString())
        else:
            raise ModelUnsupported(
                f"The format 'onnx' needs an ONNX model or its path, not {type(model).__name__}."
            )
        return SavedModel(ONNX, flavor_of(model, path.name, "onnx"), {path.name: path})

    def load(self, folder: Path, flavor: dict[str, Any], options: LoadOptions) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise missing("onnxruntime", ONNX) from error
        path = folder / str(flavor["main"])
        try:
            session = onnxruntime.InferenceSession(
                str(path), providers=onnxruntime.get_available_providers()
            )
        except Exception as error:
            raise ModelUnsupported(f"onnxruntime cannot load {path.name!r}: {error}") from error
        return OnnxModel(session)


class PickleFormat:
    """The formats ``pickle`` and ``joblib``, which run code when they are opened."""

    def __init__(self, format: str) -> None:
        self._format = format

    def save(self, model: Any, folder: Path, options: SaveOptions) -> SavedModel:
        path = folder / ("model.joblib" if self._format == JOBLIB else "model.pkl")
        try:
            if self._format == JOBLIB:
                _joblib().dump(model, path)
            else:
                path.write_bytes(pickle.dumps(model))
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise ModelUnsupported(f"The model cannot be pickled: {error}") from error
        flavor = flavor_of(model, path.name, "scikit-learn", "numpy", "pandas", "joblib")
        return SavedModel(self._format, flavor, {path.name: path})

    def load(self, folder: Path, flavor: dict[str, Any], options: LoadOptions) -> Any:
        path = folder / str(flavor["main"])
        try:
            if self._format == JOBLIB:
                return _joblib().load(path)
            with path.open("rb") as file:
                return pickle.load(file)
        except ModelUnsupported:
            raise
        except Exception as error:
            raise ModelUnsupported(
                f"The file {path.name!r} cannot be opened: {type(error).__name__}: {error}"
            ) from error


class MlflowFormat:
    """A folder of MLflow with a flavor that we do not know; MLflow opens it."""

    def save(self, model: Any, folder: Path, options: SaveOptions) -> SavedModel:
        raise ModelUnsupported("Import a folder of MLflow with 'easymlnb models import FOLDER'.")

    def load(self, folder: Path, flavor: dict[str, Any], options: LoadOptions) -> Any:
        try:
            import mlflow.pyfunc
        except ImportError as error:
            raise missing("mlflow", MLFLOW) from error
        return mlflow.pyfunc.load_model(str(folder))


class FilesFormat:
    """Files that the author's code reads: ``load`` returns the path of the file or folder."""

    def save(self, model: Any, folder: Path, options: SaveOptions) -> SavedModel:
        source = Path(model)
        if source.is_dir():
            paths = sorted(path for path in source.rglob("*") if path.is_file())
            files = {path.relative_to(source).as_posix(): path for path in paths}
            if not files:
                raise ModelUnsupported(f"The folder {source} has no files.")
            return SavedModel(FILES, {"main": ""}, files)
        return SavedModel(FILES, {"main": source.name}, {source.name: _file(source)})

    def load(self, folder: Path, flavor: dict[str, Any], options: LoadOptions) -> Any:
        return folder / str(flavor.get("main", "")) if flavor.get("main") else folder


def implementation(format: str) -> Format:
    """Return the code for one of these formats."""
    if format == ONNX:
        return OnnxFormat()
    if format in (JOBLIB, PICKLE):
        return PickleFormat(format)
    return MlflowFormat() if format == MLFLOW else FilesFormat()


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ModelUnsupported(f"There is no file {path}.")
    return path


def _joblib() -> Any:
    try:
        import joblib
    except ImportError as error:
        raise missing("joblib", JOBLIB) from error
    return joblib
