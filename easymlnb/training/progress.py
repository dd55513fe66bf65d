"""Comparisons that report their progress, and continue after an interruption or a lost node."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from easymlnb.runtime.context import progress
from easymlnb.runtime.current_job import job
from easymlnb.training.candidates import Candidate
from easymlnb.training.comparing import Units, as_candidates, as_rows, as_units, compare
from easymlnb.training.datasets import Dataset
from easymlnb.training.metrics import metric_named
from easymlnb.training.results import CandidateComparison, Unit
from easymlnb.training.splits import Split, split

FILE = "comparison.json"
"""The job's file with what is finished, also of a job that was canceled."""


def compare_with_progress(
    data: Dataset,
    candidates: Iterable[str | Candidate] = (),
    *,
    metric: str = "",
    parts: Split | None = None,
    folds: int = 5,
    seed: int = 0,
    kept: dict[str, Any] | None = None,
    report: Callable[[float, str], None] = progress,
    curves: bool = True,
) -> CandidateComparison:
    """Compare candidates, see ``compare``; in a job, units are in its checkpoint.

    ``kept`` is a dict of the kernel in which the finished units stay for another call;
    ``report`` gets the finished fraction and a text. With ``curves``, the scores become metrics of
    the job.
    """
    kept = {} if kept is None else kept
    parts = parts or split(data, folds=folds, seed=seed)
    chosen = as_candidates(data, candidates, seed)
    judged = metric_named(metric, data.task)
    stored = job().checkpoint()
    state = stored.load()
    done = as_units(kept.get("units", []) if state is None else state["units"])

    def on_unit(unit: Unit, units: Units, total: int) -> None:
        kept["units"] = as_rows(units.values())
        report(len(units) / total, f"{unit.candidate}, fold {unit.fold + 1}")
        current = job()
        if current.id:
            now = CandidateComparison.from_units(chosen, units.values(), parts, judged)
            current.save_file(FILE, json.dumps(now.to_dict()), "application/json")
            if curves and not unit.problem:
                current.metric(f"{judged.name} of {unit.candidate}", unit.score, step=unit.fold)
            stored.save(len(units), units=kept["units"])
            if stored.leaving:
                stored.leave()

    return compare(data, chosen, metric=metric, parts=parts, seed=seed, done=done, on_unit=on_unit)
