"""Candidates: models that are compared on the same data.

Functions import scikit-learn.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from easymlnb.contract.errors import CallerError
from easymlnb.training.datasets import CLASSIFICATION, Dataset


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that can be compared with others.

    Attributes
    ----------
    name : str
    make : callable
        Returns a new estimator; everything that learns from data is part of it.
    title : str
        What it is, for people.
    complexity : int
        Of two candidates that are equally good, the one with the smaller number is chosen.
    is_baseline : bool
        Whether it is there for comparison only.
    """

    name: str
    make: Callable[[], Any]
    title: str = ""
    complexity: int = 5
    is_baseline: bool = False


def candidates_for(
    data: Dataset, names: Iterable[str] = (), *, seed: int = 0, baselines: bool = True
) -> list[Candidate]:
    """Return the usual candidates for data, the baselines first.

    Parameters
    ----------
    data : Dataset
    names : iterable of str, optional
        Some of ``"linear"``, ``"forest"`` and ``"boosting"``. Default: all.
    seed : int, default 0
        Seed of the models that use chance.
    baselines : bool, default True
        Whether to add the baselines.

    Raises
    ------
    CallerError
        A name is unknown.
    """
    chosen = list(names) or list(_MODELS)
    for name in chosen:
        if name not in _MODELS:
            raise CallerError(f"There is no candidate {name!r}. Candidates: {', '.join(_MODELS)}.")
    found = baselines_for(data) if baselines else []
    for number, name in enumerate(chosen, start=1):
        title, make = _MODELS[name]
        found.append(Candidate(name, _maker(make, data.task, seed), title, number))
    return found


def baselines_for(data: Dataset) -> list[Candidate]:
    """Return the models without learning that candidates for data must beat."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    from easymlnb.training.baselines import SeasonalNaive

    if data.task == CLASSIFICATION:
        title = "the most frequent class"
        return [Candidate("baseline", lambda: DummyClassifier(strategy="prior"), title, 0, True)]
    found = [
        Candidate("baseline", lambda: DummyRegressor(strategy="median"), "the median", 0, True)
    ]
    if data.times is not None:
        column = str(data.times.name)
        if column in data.x.columns:
            title = "the same time of the last season"
            make = lambda: SeasonalNaive(column)  # noqa: E731
            found.append(Candidate("seasonal_naive", make, title, 0, True))
    return found


def pipeline(model: Any, *, scaled: bool) -> Any:
    """Return a model with the steps that make numbers of a table.

    Parameters
    ----------
    model : estimator
    scaled : bool
        Whether numbers are scaled and categories become a column each, as linear models need it.
        Else categories become numbers, as trees need it.
    """
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    from easymlnb.training.columns import TableColumns

    numbers = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    if scaled:
        number_step = make_pipeline(numbers, StandardScaler())
        categories: Any = OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=50, sparse_output=False
        )
    else:
        number_step = numbers
        categories = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, max_categories=200
        )
    columns = make_column_transformer(
        (number_step, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
        verbose_feature_names_out=False,
    )
    return make_pipeline(TableColumns(), columns, model)


def _linear(task: str, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression, RidgeCV

    if task == CLASSIFICATION:
        return pipeline(LogisticRegression(max_iter=2000), scaled=True)
    return pipeline(RidgeCV(alphas=(0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)), scaled=True)


def _forest(task: str, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if task == CLASSIFICATION else RandomForestRegressor
    model = kind(n_estimators=100, min_samples_leaf=2, max_samples=0.8, random_state=seed)
    return pipeline(model, scaled=False)


def _boosting(task: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = (
        HistGradientBoostingClassifier if task == CLASSIFICATION else HistGradientBoostingRegressor
    )
    return pipeline(kind(early_stopping=False, random_state=seed), scaled=False)


def _maker(make: Callable[[str, int], Any], task: str, seed: int) -> Callable[[], Any]:
    return lambda: make(task, seed)


_MODELS: dict[str, tuple[str, Callable[[str, int], Any]]] = {
    "linear": ("a linear model", _linear),
    "forest": ("a random forest", _forest),
    "boosting": ("gradient boosting of trees", _boosting),
}

NAMES = tuple(_MODELS)
"""Names of the usual candidates."""
