"""``@ml.train``: a function trains a model, and its jobs make the versions of that model."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from easymlnb.contract import units
from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.options import check_whole, named_options
from easymlnb.contract.training import (
    MAX_ATTEMPTS,
    TRAIN_LANE,
    Training,
    check_model_name,
)
from easymlnb.services.decorator import attach
from easymlnb.services.service_function import P
from easymlnb.training import function as attached
from easymlnb.training.model import Model
from easymlnb.training.saving import storing
from easymlnb.training.train_function import TrainFunction

ANSWER_WITHIN = 30.0
"""Seconds after which a call of a published training is answered with its job."""


@named_options
def train(
    *,
    model: str,
    metric: str = "",
    lane: str = TRAIN_LANE,
    attempts: int = 1,
    timeout: float | str | None = None,
    gpu: float | str | None = None,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    tags: Sequence[str] = (),
    examples: Sequence[Mapping[str, Any]] = (),
    max_body: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Callable[[Callable[P, Model]], TrainFunction[P]]:
    """Make a function a training: a form, a function, and jobs that make versions of a model.

    The function returns an ``ml.Model``. Calling it here trains here. Published with its notebook,
    it runs as a job, and a job that succeeds adds a version to the model in the registry.

    Parameters
    ----------
    model : str
        Name of the model in the registry.
    metric : str, optional
        The metric by which versions are compared.
    lane : str, default "train"
        The lane of its jobs.
    attempts : int, default 1
        How often the function may raise before a job fails. Lost workers and nodes do not count.
    timeout : float or str, optional
        Time that an attempt may take: seconds, ``"30m"``, ``"8h"``. Default: the server's maximum.
    gpu : float or str, default 0
        GPUs of a job, as for ``ml.service``.
    name, title, description, tags, examples, max_body, metadata : optional
        As for ``ml.service``. Examples fill the form; publishing does not run them.

    Returns
    -------
    callable
        A decorator that returns the function itself, with ``submit``, ``compare``, ``search`` and
        what else a service has.

    Raises
    ------
    DefinitionError
        An option is invalid.

    Examples
    --------
    >>> @ml.train(model="forest", metric="mae", timeout="8h")
    ... def fit(data: ml.Table, trees: Annotated[int, ml.Slider(10, 500)] = 100) -> ml.Model:
    ...     x, y = data.drop(columns="load"), data["load"]
    ...     forest = RandomForestRegressor(trees).fit(x[:-100], y[:-100])
    ...     return ml.Model(forest, test=(x[-100:], y[-100:]), example=x.head(3))
    """
    check_model_name(model)
    training = Training(
        model=model,
        metric=_text("metric", metric),
        lane=_text("lane", lane) or TRAIN_LANE,
        attempts=_attempts(attempts),
        timeout=_seconds(timeout),
    )
    options = {
        "name": name,
        "title": title,
        "description": description,
        "tags": tags,
        "examples": examples,
        "max_body": max_body,
        "metadata": metadata,
        "gpu": gpu,
        "min_workers": 0,
        "timeout": ANSWER_WITHIN,
        "on_timeout": "job",
        "training": training,
    }
    return lambda decorated: _attach(decorated, options, training)


def _attach(
    function: Callable[P, Model], options: dict[str, Any], training: Training
) -> TrainFunction[P]:
    # The worker's function also stores the model; the function itself only trains.
    made = cast("Any", attach(function, options, run=storing(function, training)))
    made.compare = partial(attached.compare, function, training)
    made.search = partial(attached.search, made, training)
    return cast("TrainFunction[P]", made)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 63:
        raise DefinitionError(f"{name} must be a text of at most 63 characters, not {value!r:.80}.")
    return value


def _attempts(value: Any) -> int:
    check_whole("attempts", value, 1)
    if value > MAX_ATTEMPTS:
        raise DefinitionError(f"attempts must be at most {MAX_ATTEMPTS}, not {value}.")
    return int(value)


def _seconds(value: float | str | None) -> float:
    try:
        return 0.0 if value is None else units.parse_duration(value)
    except ValueError as error:
        raise DefinitionError(f"timeout: {error}") from error
