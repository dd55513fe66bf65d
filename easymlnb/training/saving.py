"""Run a training, and give the job what its model consists of."""

import functools
import hashlib
import inspect
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract.errors import (
    DefinitionError,
    EasyMLNBError,
    ModelNotFound,
    ModelVersionNotFound,
)
from easymlnb.contract.training import (
    DESCRIPTION_FILE,
    PRODUCTION,
    TrainedFile,
    TrainedModel,
    Training,
)
from easymlnb.runtime.current_job import CurrentJob, job
from easymlnb.training.model import Model, plain
from easymlnb.types.base import is_a

MAX_PLOT = 5 * 2**20
"""Largest figure in bytes that is stored with a model."""


def storing(function: Callable[..., Any], training: Training) -> Callable[..., Any]:
    """Return the function as a worker runs it: in a job, it also stores the model."""

    @functools.wraps(function)
    def run(**values: Any) -> Model:
        model = function(**values)
        if not isinstance(model, Model):
            raise DefinitionError(
                f"{function.__name__} must return an ml.Model, such as ml.Model(pipe, "
                f"metrics={{'mae': 1.6}}), not {type(model).__name__}."
            )
        model.params = plain(_arguments(function, values)) | model.params
        current = job()
        if current.id:
            _compare_with_production(model, training.model)
            store(model, training, current, values)
        return model

    return run


def store(model: Model, training: Training, current: CurrentJob, values: Mapping[str, Any]) -> None:
    """Save the files of a model as files of the job, and at last its description.

    Raises ``ModelUnsupported`` if the model cannot be saved.
    """
    from easymlnb.model_store.formats import SaveOptions, save_model
    from easymlnb.model_store.signatures import EXAMPLE_FILE, example_json, signature_of

    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        options = SaveOptions(trusted=model.trusted, config=model.config)
        saved = save_model(model.obj, Path(folder), format=model.format, options=options)
        contents = {name: path.read_bytes() for name, path in saved.files.items()}
    contents |= dict(_plots(model))
    signature = None
    if model.example is not None:
        signature = signature_of(model.example, _predicted(model))
        if (example := example_json(model.example)) is not None:
            contents[EXAMPLE_FILE] = example
    files = tuple(_save(current, path, content) for path, content in contents.items())
    described = TrainedModel(
        model=training.model,
        format=saved.format,
        flavor=saved.flavor,
        files=files,
        signature=signature,
        metrics=_finite(model.metrics),
        params=plain(model.params),
        tags={str(name): str(text) for name, text in model.tags.items()},
        note=model.note,
        data=tuple(_data(values)),
    )
    current.save_file(DESCRIPTION_FILE, msgspec.json.encode(described), "application/json")
    model.saved = {"model": training.model, "format": saved.format}


def _save(current: CurrentJob, path: str, content: bytes) -> TrainedFile:
    label = f"model/{path}"
    current.save_file(label, content)
    digest = hashlib.sha256(content).hexdigest()
    return TrainedFile(path=path, label=label, sha256=digest, size=len(content))


def _plots(model: Model) -> Iterator[tuple[str, bytes]]:
    """Yield the figures of plotly as JSON, by path."""
    for title, figure in model.plots.items():
        if is_a(type(figure), "plotly.basedatatypes.BaseFigure"):
            content = figure.to_json().encode()
            if len(content) <= MAX_PLOT:
                name = "".join(c if c.isalnum() or c in " -_" else "_" for c in str(title))[:80]
                yield f"plots/{name or 'plot'}.json", content


def _predicted(model: Model) -> Any:
    """Return what the model says of its example; ``None`` if it cannot be asked."""
    try:
        return model.predict(model.example)
    except Exception:
        return None


def _compare_with_production(model: Model, name: str) -> None:
    """Measure the version that has the alias ``production`` on the same test rows."""
    if model.test is None:
        return
    from easymlnb.model_store.formats import LoadOptions
    from easymlnb.model_store.loading import load_version

    try:
        former = load_version(name, PRODUCTION, LoadOptions(build=model.build))
        metrics = model.measure(former.value)
        model.production = {"version": former.version, "metrics": metrics}
    except (ModelNotFound, ModelVersionNotFound):
        return  # nothing is in production yet
    except EasyMLNBError as error:
        print(f"The model in production could not be compared: {error.message}")  # noqa: T201
    except Exception as error:
        print(  # noqa: T201 - the author reads it in the job's log
            "The model in production could not be measured on these rows: "
            f"{type(error).__name__}: {error}"
        )


def _arguments(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a call with their defaults."""
    bound = inspect.signature(function).bind_partial(**values)
    bound.apply_defaults()
    return dict(bound.arguments)


def _data(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield name, size and hash of each table that the model was trained on."""
    for name, value in values.items():
        if is_a(type(value), "pandas.DataFrame"):
            rows, columns = value.shape
            found = {"name": name, "rows": rows, "columns": columns}
            yield found | {"sha256": _hash_of(value)}


def _hash_of(table: Any) -> str:
    import pandas as pd

    digest = hashlib.sha256(json.dumps([str(name) for name in table.columns]).encode())
    try:
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    except TypeError:  # lists and the like
        digest.update(table.to_csv(index=False).encode())
    return digest.hexdigest()


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if abs(value) < float("inf")}
