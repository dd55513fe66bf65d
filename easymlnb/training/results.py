"""The result of a comparison: a row for each candidate, and which one to take."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from easymlnb.training.significance import LEVEL, corrected_t_test

if TYPE_CHECKING:
    import pandas as pd

    from easymlnb.training.candidates import Candidate
    from easymlnb.training.metrics import Metric
    from easymlnb.training.splits import Split

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Unit:
    """A candidate on one fold.

    - ``score``, ``train_score``: the metric on the test rows of the fold and on its training rows
    - ``predict_ms``: milliseconds to predict up to 1000 rows
    - ``size``: bytes of the stored model, 0 if unknown
    - ``problem``: why there are no numbers
    """

    candidate: str
    fold: int
    score: float = NAN
    train_score: float = NAN
    fit_seconds: float = NAN
    predict_ms: float = NAN
    size: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A candidate over all finished folds.

    Attributes
    ----------
    name, title : str
    score, sd : float
        Mean of the metric over the folds, and its standard deviation.
    train_score : float
        Mean of the metric on the training rows; far better than ``score`` means overfitting.
    fit_seconds, predict_ms : float
        Means of the time of a fit, and of a prediction of up to 1000 rows.
    size : int
        Bytes of the stored model.
    folds : int
        Finished folds.
    is_best : bool
        Whether it is as good as the best one: the difference may be chance.
    is_baseline : bool
    problem : str
        Why there are no numbers.
    """

    name: str
    title: str
    score: float = NAN
    sd: float = NAN
    train_score: float = NAN
    fit_seconds: float = NAN
    predict_ms: float = NAN
    size: int = 0
    folds: int = 0
    is_best: bool = False
    is_baseline: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CandidateComparison:
    """Candidates by score, best first.

    Attributes
    ----------
    rows : tuple of Row
        Candidates with a problem come last.
    metric : str
    chosen : str
        Of the candidates that are as good as the best, the simplest and fastest one, baselines
        excluded; empty if no fold is finished.
    split : str
        How the data was split.
    notes : tuple of str
        What to know about the result.
    complete : bool
        Whether all folds are finished.
    """

    rows: tuple[CandidateRow, ...]
    metric: str
    chosen: str
    split: str
    notes: tuple[str, ...] = ()
    complete: bool = True

    @property
    def table(self) -> "pd.DataFrame":
        """The rows as a DataFrame."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows]).set_index("name")

    def row(self, name: str) -> CandidateRow:
        """Return the row of a candidate."""
        return next(row for row in self.rows if row.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values; numbers that do not exist are ``None``."""
        rows = [
            {key: None if value != value else value for key, value in asdict(row).items()}
            for row in self.rows
        ]
        shown = {name: getattr(self, name) for name in ("metric", "chosen", "split", "complete")}
        return {"rows": rows, **shown, "notes": list(self.notes)}

    def __repr__(self) -> str:
        head = (
            f"{'':2}{'':16}{self.metric:>18}{'sd':>10}{'train':>10}{'fit s':>9}{'ms':>9}{'kB':>9}"
        )
        lines = [head]
        for row in self.rows:
            mark = "*" if row.is_best else ""
            if row.problem:
                lines.append(f"{mark:2}{row.name[:16]:16}  {row.problem}")
                continue
            lines.append(
                f"{mark:2}{row.name[:16]:16}{row.score:18.4g}{row.sd:10.2g}{row.train_score:10.4g}"
                f"{row.fit_seconds:9.2f}{row.predict_ms:9.1f}{row.size / 1000:9.0f}"
            )
        return "\n".join([*lines, f"chosen: {self.chosen or 'none'}", self.split, *self.notes])

    @classmethod
    def from_units(
        cls,
        candidates: "Sequence[Candidate]",
        units: Iterable[Unit],
        parts: "Split",
        metric: "Metric",
    ) -> "CandidateComparison":
        """Return the result of the folds that all candidates have finished."""
        known = {(unit.candidate, unit.fold): unit for unit in units}
        folds = range(len(parts.folds))
        problems = {
            unit.candidate: unit.problem for unit in reversed(known.values()) if unit.problem
        }
        able = [one for one in candidates if one.name not in problems]
        done = [fold for fold in folds if all((one.name, fold) in known for one in able)]
        scored = {one.name: [known[one.name, fold] for fold in done] for one in able}
        best = _best(scored, metric) if done else ""
        ratio = fmean(len(test) / len(train) for train, test in parts.folds)
        equal = {name for name in scored if done and _as_good(scored, name, best, ratio)}
        rows = [
            _row(one, scored.get(one.name, []), one.name in equal, problems.get(one.name, ""))
            for one in candidates
        ]
        rows.sort(key=lambda row: (bool(row.problem) or not row.folds, -metric.sign() * row.score))
        return cls(
            tuple(rows),
            metric.name,
            _choose(candidates, scored, equal, metric),
            parts.text,
            tuple(_notes(candidates, scored, equal, metric)),
            len(done) == len(folds),
        )


def _row(candidate: "Candidate", units: list[Unit], is_best: bool, problem: str) -> CandidateRow:
    title, baseline = candidate.title, candidate.is_baseline
    if problem or not units:
        return CandidateRow(candidate.name, title, is_baseline=baseline, problem=problem)
    return CandidateRow(
        candidate.name,
        title,
        _mean(units, "score"),
        stdev(unit.score for unit in units) if len(units) > 1 else 0.0,
        _mean(units, "train_score"),
        _mean(units, "fit_seconds"),
        _mean(units, "predict_ms"),
        round(_mean(units, "size")),
        len(units),
        is_best,
        baseline,
    )


def _mean(units: list[Unit], name: str) -> float:
    return fmean(getattr(unit, name) for unit in units)


def _best(scored: dict[str, list[Unit]], metric: "Metric") -> str:
    return max(scored, key=lambda name: metric.sign() * _mean(scored[name], "score"), default="")


def _as_good(scored: dict[str, list[Unit]], name: str, best: str, ratio: float) -> bool:
    """Return whether the difference to the best candidate may be chance."""
    differences = [
        one.score - other.score for one, other in zip(scored[name], scored[best], strict=True)
    ]
    return name == best or corrected_t_test(differences, ratio) > LEVEL


def _choose(
    candidates: "Sequence[Candidate]",
    scored: dict[str, list[Unit]],
    equal: set[str],
    metric: "Metric",
) -> str:
    """Return the simplest and fastest of the candidates that are as good as the best."""
    own = [one for one in candidates if one.name in scored and not one.is_baseline]
    if not own or not any(scored.values()):
        return ""
    good = [one for one in own if one.name in equal]
    if not good:
        names = {one.name: scored[one.name] for one in own}
        return _best(names, metric)
    return min(good, key=lambda one: (one.complexity, _mean(scored[one.name], "predict_ms"))).name


def _notes(
    candidates: "Sequence[Candidate]",
    scored: dict[str, list[Unit]],
    equal: set[str],
    metric: "Metric",
) -> Iterable[str]:
    if not any(scored.values()):
        return
    weak = [one for one in candidates if one.is_baseline and one.name in equal]
    if weak:
        yield _about_baseline(scored, weak[0], metric)
    own = equal - {one.name for one in weak}
    if len(own) > 1:
        count = len(next(iter(scored.values())))
        yield (
            f"{len(own)} models are as good as the best; {count} folds cannot tell them apart. The "
            "simplest of them is chosen."
        )
    chosen = _choose(candidates, scored, equal, metric)
    if chosen and _overfits(scored[chosen], metric):
        yield f"{chosen!r} overfits: it is much better on the rows that it was trained on."


def _about_baseline(scored: dict[str, list[Unit]], baseline: "Candidate", metric: "Metric") -> str:
    """Return what it means that a baseline may be as good as the best candidate."""
    name = baseline.title or baseline.name
    pairs = [*zip(scored[_best(scored, metric)], scored[baseline.name], strict=True)]
    if all(metric.sign() * (one.score - other.score) > 0 for one, other in pairs):
        return (
            f"The best model beats the baseline, {name}, in each fold, but {len(pairs)} folds are "
            "too few to be sure. Use more folds or more rows."
        )
    return f"The baseline, {name}, is as good as the best model, so nothing useful was learned."


def _overfits(units: list[Unit], metric: "Metric") -> bool:
    train, test = _mean(units, "train_score"), _mean(units, "score")
    if metric.greater_is_better:
        return train - test > 0.15
    return train < test / 2
