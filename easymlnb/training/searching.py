"""Sample parameters at random, or with optuna if it is installed.

A sampler is a function of the finished trials: nothing else has to be stored to continue a
search.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from easymlnb.contract.errors import DefinitionError

LOG = "log"

Space = Mapping[str, Any]
"""For each parameter, a list of values, or a range ``(low, high)`` or ``(low, high, "log")``."""


def check_space(space: Space, known: Sequence[str] = ()) -> None:
    """Raise ``DefinitionError`` for a parameter or a range that does not exist."""
    if not isinstance(space, Mapping) or not space:
        raise DefinitionError(
            "The space must be a dict of parameters, such as {'trees': (10, 500)}."
        )
    for name, values in space.items():
        if known and name not in known:
            raise DefinitionError(
                f"There is no parameter {name!r}. Parameters: {', '.join(known)}."
            )
        if isinstance(values, tuple):
            _check_range(name, values)
        elif not isinstance(values, list) or not values:
            raise DefinitionError(
                f"{name!r} must have a list of values, or a range such as (10, 500) or "
                f"(0.001, 1, 'log'), not {values!r}."
            )


def _check_range(name: str, values: tuple[Any, ...]) -> None:
    numbers = [v for v in values[:2] if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(values) not in (2, 3) or len(numbers) != 2 or values[2:] not in ((), (LOG,)):
        raise DefinitionError(
            f"The range of {name!r} must be (low, high) or (low, high, 'log'), not {values!r}."
        )
    low, high = numbers
    if not low < high or (values[2:] and low <= 0):
        above = " above 0" if values[2:] else ""
        raise DefinitionError(f"The range of {name!r} must go up{above}, not {values!r}.")


def sample(space: Space, *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield different points of a space at random, the same for the same seed.

    A space of few points ends when all were given.
    """
    check_space(space)
    chance = random.Random(seed)
    given: set[str] = set()
    tries = 0
    while tries < 1000:
        point = {name: _value(chance, values) for name, values in space.items()}
        if repr(point) in given:
            tries += 1
            continue
        given.add(repr(point))
        tries = 0
        yield point


def _value(chance: random.Random, values: Any) -> Any:
    if isinstance(values, list):
        return chance.choice(values)
    low, high = values[:2]
    whole = isinstance(low, int) and isinstance(high, int)
    if values[2:]:
        value = math.exp(chance.uniform(math.log(low), math.log(high + 1 if whole else high)))
        return min(high, int(value)) if whole else value
    return chance.randint(low, high) if whole else chance.uniform(low, high)


def ask_optuna(
    space: Space, trials: Sequence[tuple[Mapping[str, Any], float]], *, maximize: bool, seed: int
) -> dict[str, Any]:
    """Return the point that optuna's sampler would try after ``trials``, in memory."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if maximize else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed + len(trials)),
    )
    kinds = {name: _distribution(values) for name, values in space.items()}
    for point, score in trials:
        study.add_trial(
            optuna.trial.create_trial(params=dict(point), distributions=kinds, value=score)
        )
    return dict(study.ask(kinds).params)


def _distribution(values: Any) -> Any:
    from optuna import distributions

    if isinstance(values, list):
        return distributions.CategoricalDistribution(values)
    low, high = values[:2]
    whole = isinstance(low, int) and isinstance(high, int)
    kind = distributions.IntDistribution if whole else distributions.FloatDistribution
    return kind(low, high, log=bool(values[2:]))
