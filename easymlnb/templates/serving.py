"""What the notebooks of templates do: look at data, train a model, predict with any model."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol

from easymlnb.contract.errors import CallerError
from easymlnb.runtime.context import progress
from easymlnb.templates import config as configs
from easymlnb.templates import forecast, images, storage, tabular
from easymlnb.templates.cache import Loaded, ModelCache
from easymlnb.templates.learning import Learned
from easymlnb.types.file import File
from easymlnb.types.uploaded_files import Data

MAX_PREDICTED = 100_000
"""Rows that one call predicts."""

TEMPLATES: Mapping[str, ModuleType] = {
    tabular.NAME: tabular,
    forecast.NAME: forecast,
    images.NAME: images,
}

_PREDICTORS = {
    tabular.NAME: tabular.TabularPredictor,
    forecast.NAME: forecast.ForecastPredictor,
    images.NAME: images.ImagePredictor,
}


class Predictor(Protocol):
    """A loaded model."""

    signature: dict[str, Any]

    def predict(self, rows: Sequence[Any]) -> dict[str, Any]:
        """Return predictions; raises ``CallerError`` for rows that do not fit."""


MODELS: ModelCache[Predictor] = ModelCache()
"""The models that this worker has loaded."""


def look(template: str, file: File, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Describe data, and what to know before a model of a configuration is trained."""
    found: dict[str, Any] = TEMPLATES[template].look(_data(file), configs.parse(config), file.name)
    return found


def learn(template: str, file: File, config: Mapping[str, Any] | None) -> Learned:
    """Train a model of a configuration, with progress."""
    made: Learned = TEMPLATES[template].train(
        _data(file), configs.parse(config), progress, file.name
    )
    progress(0.98, "Storing the model")
    return made


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
    make = _PREDICTORS[signature["template"]]
    return Loaded(make(estimator, signature), size)


def _data(file: File) -> Data:
    return file.upload().data
