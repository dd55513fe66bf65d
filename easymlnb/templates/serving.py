"""What the notebooks of templates do: look at data, train a model, predict with any model."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from easymlnb.contract.errors import CallerError
from easymlnb.contract.training import Training
from easymlnb.runtime.context import progress
from easymlnb.runtime.current_job import job
from easymlnb.services.decorator import attach
from easymlnb.templates import config as configs
from easymlnb.templates import exposed, forecast, images, storage, tabular
from easymlnb.templates.cache import Loaded, ModelCache
from easymlnb.templates.learning import Learned, Predictor
from easymlnb.types.file import File
from easymlnb.types.uploaded_files import Data

MAX_PREDICTED = 100_000
"""Rows that one call predicts."""

TEMPLATES: Mapping[str, ModuleType] = {
    tabular.NAME: tabular,
    forecast.NAME: forecast,
    images.NAME: images,
}

_PREDICTORS: Mapping[str, Callable[[Any, dict[str, Any]], Predictor]] = {
    tabular.NAME: tabular.TabularPredictor,
    forecast.NAME: forecast.ForecastPredictor,
    images.NAME: images.ImagePredictor,
}


MODELS: ModelCache[Predictor] = ModelCache()
"""The models that this worker has loaded."""


def look(template: str, file: File, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Describe data, and what to know before a model of a configuration is trained."""
    found: dict[str, Any] = TEMPLATES[template].look(_data(file), configs.parse(config), file.name)
    return found


def train(
    template: str, model: str, file: File, config: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Train a model of a configuration; in a job, it becomes a version of ``model``."""
    given = configs.parse(config)
    data = _data(file)
    learned: Learned = TEMPLATES[template].train(data, given, progress, file.name)
    current = job()
    if current.id:
        progress(0.98, "Storing the model")
        digest = hashlib.sha256(data).hexdigest()
        source = {"name": file.name, "size": len(data), "sha256": digest}
        storage.save(learned, model, current, source)
    report = learned.report
    return {
        "model": model,
        "algorithm": report["algorithm"],
        "metrics": storage.finite(learned.metrics),
        "notes": report["notes"],
    }


def training(template: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a function the training of a template: its jobs make versions of any model."""
    options = {
        "name": f"template_{template}_train",
        "tags": ["template"],
        "min_workers": 0,
        "timeout": 30.0,
        "on_timeout": "job",
        "training": Training(model=f"template_{template}"),
    }
    return lambda function: attach(function, options)


def describe(model: str, version: int) -> dict[str, Any]:
    """Return the spec of a model as a service of its own name."""
    name = model.rpartition("/")[2]
    spec: dict[str, Any] = exposed.service_of(name, predictor(model, version)).spec.to_dict()
    return spec


def predict(model: str, version: int, rows: Sequence[Any]) -> dict[str, Any]:
    """Predict rows with a version of a model."""
    if len(rows) > MAX_PREDICTED:
        raise CallerError(
            f"The call has {len(rows):,} rows; at most {MAX_PREDICTED:,} are allowed. Send parts."
        )
    result = predictor(model, version).predict(rows)
    return {**result, "model": {"name": model, "version": version}}


def predictor(model: str, version: int) -> Predictor:
    """Return a version of a model, loaded at its first use."""
    return MODELS.get(f"{model}@{version}", lambda: _load(model, version))


def _load(model: str, version: int) -> Loaded[Predictor]:
    estimator, signature, size = storage.load(model, version)
    return Loaded(_PREDICTORS[signature["template"]](estimator, signature), size)


def _data(file: File) -> Data:
    return file.upload().data
