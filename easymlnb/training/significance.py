"""Whether the difference of two models over folds may be chance.

Functions import scipy, which scikit-learn brings.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, variance

LEVEL = 0.05
"""Probability below which a difference counts as more than chance."""


def corrected_t_test(differences: Sequence[float], test_share: float) -> float:
    """Return the two-sided p-value of differences over folds.

    The folds share most of their training rows, so their differences are not independent, and the
    usual t-test finds too many. The corrected resampled t-test adds the ratio of test to training
    rows to the variance: Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error.
    Machine Learning 52, 239-281.

    Parameters
    ----------
    differences : sequence of float
        For each fold, the score of one model minus that of the other.
    test_share : float
        Number of test rows of a fold divided by that of its training rows.

    Returns
    -------
    float
        1.0 for fewer than two folds.
    """
    from scipy.stats import t

    count = len(differences)
    if count < 2:
        return 1.0
    spread = variance(differences)
    mean = fmean(differences)
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    statistic = mean / sqrt((1 / count + test_share) * spread)
    return float(2 * t.sf(abs(statistic), count - 1))
