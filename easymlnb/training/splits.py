"""Split data into a test part and folds: by time, by groups, by classes, or by chance.

This module imports scikit-learn.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)

from easymlnb.contract.errors import CallerError
from easymlnb.training.datasets import CLASSIFICATION, Dataset

TIME, GROUPS, STRATIFIED, RANDOM = "time", "groups", "stratified", "random"

Rows = np.ndarray
"""Numbers of rows of a dataset."""

Fold = tuple[Rows, Rows]
"""The rows to train on, and the rows to test on."""


@dataclass(frozen=True, slots=True)
class Split:
    """A test part for the chosen model only, and folds of the rest to choose it with.

    Attributes
    ----------
    kind : {"time", "groups", "stratified", "random"}
    text : str
        A sentence for people.
    train, test : numpy.ndarray
        Numbers of rows; what is between them in time belongs to neither.
    folds : tuple of (numpy.ndarray, numpy.ndarray)
        For each fold, the rows to train on and those to test on.
    """

    kind: str
    text: str
    train: Rows
    test: Rows
    folds: tuple[Fold, ...]


def split(data: Dataset, *, folds: int = 5, test: float = 0.2, seed: int = 0) -> Split:
    """Split data in the way that fits it.

    With a column of times, the test part and the test rows of each fold are later than what is
    trained on, with a gap of ``data.horizon`` steps. With groups, rows of one group stay together.
    Else classes have the same share everywhere.

    Parameters
    ----------
    data : Dataset
    folds : int, default 5
    test : float, default 0.2
        Share of the rows in the test part.
    seed : int, default 0
        Seed of chance.

    Raises
    ------
    CallerError
        There are too few rows, times or groups.
    """
    if not 2 <= folds <= 50:
        raise CallerError(f"folds must be from 2 to 50, not {folds}.")
    if not 0 < test < 1:
        raise CallerError(f"test must be a share of the rows between 0 and 1, not {test}.")
    if data.times is not None:
        return _by_time(data, folds, test)
    if data.groups is not None:
        return _by_groups(data, folds, test, seed)
    return _by_chance(data, folds, test, seed)


def _by_time(data: Dataset, folds: int, test: float) -> Split:
    assert data.times is not None
    steps, step_of_row = np.unique(data.times.to_numpy(), return_inverse=True)
    last = len(steps) - max(1, round(len(steps) * test))
    known = last - data.horizon
    folds = min(folds, known // 2 - 1)
    size = known // (folds + 1) if folds > 0 else 0
    while folds >= 2 and known - folds * size - data.horizon < 1:
        folds -= 1
        size = known // (folds + 1)
    if folds < 2:
        raise CallerError(
            f"{len(steps)} different times are too few to split by time with a horizon of "
            f"{data.horizon}."
        )
    train, held = np.flatnonzero(step_of_row < known), np.flatnonzero(step_of_row >= last)
    splitter = TimeSeriesSplit(n_splits=folds, gap=data.horizon)
    made = tuple(
        (
            np.flatnonzero(np.isin(step_of_row, before)),
            np.flatnonzero(np.isin(step_of_row, after)),
        )
        for before, after in splitter.split(np.arange(known))
    )
    gap = f", {data.horizon} steps apart" if data.horizon else ""
    text = f"Split by time: {folds} folds, each tested on later rows than it is trained on{gap}."
    return Split(TIME, text, train, held, made)


def _by_groups(data: Dataset, folds: int, test: float, seed: int) -> Split:
    assert data.groups is not None
    groups = data.groups.astype(object).map(str).to_numpy()
    count = len(np.unique(groups))
    if count < 3:
        raise CallerError(f"{count} groups are too few to split by; 3 are needed at least.")
    whole = np.arange(len(groups))
    outer = GroupShuffleSplit(n_splits=1, test_size=test, random_state=seed)
    train, held = next(outer.split(whole, groups=groups))
    folds = min(folds, len(np.unique(groups[train])))
    inner = GroupKFold(n_splits=folds)
    made = tuple(_inner(inner.split(train, groups=groups[train]), train))
    text = f"Split by groups: {folds} folds; rows of one group are never on both sides."
    return Split(GROUPS, text, train, held, made)


def _by_chance(data: Dataset, folds: int, test: float, seed: int) -> Split:
    whole = np.arange(len(data.y))
    if data.task != CLASSIFICATION:
        train, held = next(ShuffleSplit(1, test_size=test, random_state=seed).split(whole))
        folds = min(folds, len(train))
        parts = KFold(folds, shuffle=True, random_state=seed).split(train)
        text = f"Split by chance: {folds} folds."
        return Split(RANDOM, text, train, held, tuple(_inner(parts, train)))
    classes = data.y.to_numpy()
    share = max(test, len(np.unique(classes)) / len(classes))
    outer = StratifiedShuffleSplit(1, test_size=min(share, 0.5), random_state=seed)
    train, held = next(outer.split(whole, classes))
    rest = classes[train]
    folds = max(2, min(folds, int(np.unique(rest, return_counts=True)[1].max())))
    with warnings.catch_warnings():
        # Of a class with fewer rows than folds; the checks name it.
        warnings.filterwarnings("ignore", message="The least populated class")
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(train, rest)
        made = tuple(_inner(parts, train))
    text = f"Split by chance: {folds} folds with the same shares of the classes."
    return Split(STRATIFIED, text, train, held, made)


def _inner(parts: Iterator[Fold], train: Rows) -> Iterator[Fold]:
    """Return folds of the training part with numbers of rows of the whole."""
    for before, after in parts:
        yield train[before], train[after]
