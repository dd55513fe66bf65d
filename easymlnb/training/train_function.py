"""The type of a function with ``@ml.train``, and the result of its search."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from easymlnb.services.definition import Service
from easymlnb.services.service_function import P
from easymlnb.training.model import Model

if TYPE_CHECKING:
    import pandas as pd

    from easymlnb.client.jobs import Job
    from easymlnb.publishing.publish import Published
    from easymlnb.training.results import CandidateComparison


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of a search: its parameters, score and other metrics.

    ``version`` is the version of the model that its ``job`` has made, ``None`` without jobs.
    """

    params: dict[str, Any]
    score: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    job: str = ""
    problem: str = ""
    version: int | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The trials of a search, best first; those without a score come last.

    Attributes
    ----------
    trials : tuple of Trial
        Each has ``params``, ``score``, ``metrics``, ``job``, ``version`` and ``problem``.
    metric : str
    """

    trials: tuple[Trial, ...]
    metric: str

    @property
    def best(self) -> Trial | None:
        """The best trial; ``None`` if all failed."""
        return self.trials[0] if self.trials and self.trials[0].score is not None else None

    @property
    def table(self) -> "pd.DataFrame":
        """The trials as a DataFrame."""
        import pandas as pd

        rows = [
            {
                **trial.params,
                self.metric: trial.score,
                "version": trial.version,
                "problem": trial.problem,
            }
            for trial in self.trials
        ]
        table = pd.DataFrame(rows).astype({"version": "Int64"})
        return table if table["version"].notna().any() else table.drop(columns="version")


class TrainFunction(Protocol[P]):
    """The type of a function with ``@ml.train``: the function itself, with attributes attached."""

    __name__: str
    service: Service

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Model: ...

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> "Job":
        """Train on the server as a job, and return at once; its end adds a version."""

    def publish(self, **options: Any) -> "Published":
        """Publish the notebook, as for a service."""

    def form(self) -> Any:
        """Return the form as a widget."""

    def remove(self) -> None:
        """Remove the live service; published versions stay."""

    def compare(
        self,
        data: "pd.DataFrame",
        candidates: Mapping[str, Mapping[str, Any]],
        *,
        target: str = "target",
        metric: str = "",
        folds: int = 5,
        time: str | None = None,
        groups: str | None = None,
        horizon: int = 0,
        seed: int = 0,
        **values: Any,
    ) -> "CandidateComparison":
        """Train with different parameters on the same folds, and return the scores.

        Each candidate is trained on the rows of a fold and predicts the others, so its model must
        predict from a table without the target. The split follows the data: by time, groups or
        classes. What is suspicious about the data, such as a column that gives the target away, is
        a warning before the first fit. After an interruption, the same call continues.

        Parameters
        ----------
        data : pandas.DataFrame
            The first parameter of the function.
        candidates : dict
            For each name, the parameters of the function that differ.
        target : str, default "target"
            The column to predict; passed to the function if it has this parameter.
        metric : str, optional
            Default: ``"balanced_accuracy"``, or ``"mae"`` for numbers.
        folds : int, default 5
        time, groups : str, optional
            The column of times, or of groups whose rows stay together.
        horizon : int, default 0
            Steps of time between what is known and what is predicted.
        seed : int, default 0
            Seed of the split.
        **values
            Parameters of the function that are the same for all.

        Returns
        -------
        CandidateComparison
            A row for each candidate and baseline, ``chosen``, ``notes`` and ``table``.

        Raises
        ------
        CallerError
            The data cannot be split, or nothing can be learned from it.
        """

    def search(
        self,
        space: Mapping[str, Any],
        *args: Any,
        n: int = 20,
        metric: str = "",
        maximize: bool | None = None,
        sampler: str = "random",
        jobs: bool = False,
        seed: int = 0,
        **values: Any,
    ) -> SearchResult:
        """Train with sampled parameters, and return the trials, best first.

        Trials are compared by a metric of their models, so the function must measure on rows that
        it does not train on. A search that was interrupted continues when it is called again.

        Parameters
        ----------
        space : dict
            For each parameter, a list of values, or a range ``(low, high)`` or
            ``(low, high, "log")``.
        *args, **values
            The other parameters of the function.
        n : int, default 20
            Number of trials.
        metric : str, optional
            Default: that of the decorator.
        maximize : bool, optional
            Whether greater is better. Default: by the name of the metric.
        sampler : {"random", "tpe"}, default "random"
            ``"tpe"`` learns from the trials and needs the package optuna.
        jobs : bool, default False
            Submit each trial as a job of the published version; they run side by side, and each
            makes a version of the model.
        seed : int, default 0
            Seed of the sampler.

        Returns
        -------
        SearchResult
            ``trials``, ``best`` and ``table``.
        """
