"""The configuration of a model without code: what to learn from which columns, and how."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from easymlnb.contract.errors import CallerError
from easymlnb.templates.column_kinds import ColumnKind
from easymlnb.templates.proposals import Question
from easymlnb.templates.reading import Reading, check_reading

COMPARE = "compare"
BASELINE = "baseline"
NETWORK = "network"
ALGORITHMS = ("linear", "forest", "boosting", NETWORK, BASELINE, COMPARE)
IGNORE = "ignore"
KINDS = (*ColumnKind, IGNORE)

MAX_HORIZON = 1000


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model is made from; an empty value is chosen by the data.

    - ``target``: the column to predict
    - ``question``: classification, regression or forecast
    - ``algorithm``: one of ``ALGORITHMS``; ``compare`` tries all but ``network``, which is for
      images
    - ``columns``: the kinds of columns; ``ignore`` leaves one out
    - ``reading``: how the table is read
    - ``time``: the column of times to split by; ``-`` for none
    - ``groups``: the column whose rows stay on one side of a split
    - ``horizon``: steps that a forecast looks ahead
    - ``metric``: what candidates are compared by
    - ``folds``: how often candidates are fitted to be compared
    - ``seed``: of everything that uses chance
    """

    target: str = ""
    question: Literal["", "classification", "regression", "forecast"] = ""
    algorithm: Literal["linear", "forest", "boosting", "network", "baseline", "compare"] = "compare"
    columns: dict[str, str] = {}
    reading: Reading = Reading()
    time: str = ""
    groups: str = ""
    horizon: int = 0
    metric: str = ""
    folds: int = 5
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without what is empty."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def parse(given: Mapping[str, Any] | None) -> Config:
    """Return a configuration; raises ``CallerError`` with the value and what is allowed."""
    values = dict(given or {})
    unknown = sorted(set(values) - set(Config.__struct_fields__))
    if unknown:
        raise CallerError(
            f"Unknown option {unknown[0]!r}. Options: {', '.join(Config.__struct_fields__)}."
        )
    algorithm = values.get("algorithm", COMPARE)
    if algorithm not in ALGORITHMS:
        raise CallerError(f"algorithm must be one of {', '.join(ALGORITHMS)}, not {algorithm!r}.")
    question = values.get("question", "")
    if question not in ("", *Question):
        raise CallerError(f"question must be one of {', '.join(Question)}, not {question!r}.")
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise CallerError(f"Invalid configuration: {error}.") from error
    check_reading(config.reading)
    for name, kind in config.columns.items():
        if kind not in KINDS:
            raise CallerError(
                f"The kind of the column {name!r} must be one of {', '.join(KINDS)}, not {kind!r}."
            )
    if not 0 <= config.horizon <= MAX_HORIZON:
        raise CallerError(f"horizon must be from 1 to {MAX_HORIZON}, not {config.horizon}.")
    if not 2 <= config.folds <= 20:
        raise CallerError(f"folds must be from 2 to 20, not {config.folds}.")
    return config
