"""The specification of a service: data shared by the kernel, the server and clients."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from easymlnb.contract import units
from easymlnb.contract.deepaas import DeepaasModel
from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.metadata import SERVICES, Metadata, default_title
from easymlnb.contract.options import check_whole, named_options
from easymlnb.contract.resources import WorkerResources
from easymlnb.contract.training import Training

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")

MAX_BODY = 100 * 2**20
"""Default limit of a call's body in bytes."""

MAX_BATCH_WAIT = 60.0
"""Largest ``max_wait`` of a batch in seconds."""

VIEW = "application/vnd.easymlnb.view+json"
"""Media type of the view of a result (``docs/reference/views.md``)."""

WHOLE_VIEW = f"{VIEW}; result=whole"
"""``Accept`` of a view with the whole result, however large it is."""

LENIENT_JSON = "application/json; reading=lenient"
"""Content type of a call's JSON that is read as FastAPI reads it: values are converted where
pydantic converts them, and unknown names are ignored."""


@named_options
@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How one run of a function answers many calls.

    Parameters
    ----------
    max_size : int, default 64
        Largest number of calls in one run.
    max_wait : float, default 0
        Seconds (0 to 60) that a call waits for others while a worker is free. With 0, a free worker
        takes all waiting calls, and batches grow when calls arrive faster than they are answered.
    stack : bool, default False
        Pass each parameter as one array, stacked along a new first axis, instead of a list. Calls
        whose arrays differ in shape or dtype run separately.

    Raises
    ------
    DefinitionError
        A number is out of range.
    """

    max_size: int = 64
    max_wait: float = 0.0
    stack: bool = False

    def __post_init__(self) -> None:
        check_whole("max_size", self.max_size, 1)
        if type(self.max_wait) not in (int, float) or not 0 <= self.max_wait <= MAX_BATCH_WAIT:
            raise DefinitionError(
                f"max_wait must be from 0 to {MAX_BATCH_WAIT:g} seconds, not {self.max_wait!r}."
            )


MAX_RECORDS = 1_000_000
"""Largest ``max`` of a ``Record``."""


@named_options
@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Which calls of a service are kept, with their inputs and results.

    Parameters
    ----------
    share : float, default 0
        Share of the calls that are recorded, from 0 to 1. With 0, only flagged calls are kept.
    keep : float or str, default "30d"
        Time after which a recorded call is deleted: seconds, ``"12h"``, ``"30d"``. Flagged calls
        are kept until they are deleted.
    max : int, default 10000
        Largest number of recorded calls, and of flagged calls; of recorded ones, the oldest are
        deleted.
    flags : bool, default True
        Whether callers may flag a call, which keeps it.
    visitors : bool, default False
        Whether calls of visitors without a login are recorded, and visitors may flag calls.

    Raises
    ------
    DefinitionError
        A value is out of range.
    """

    share: float = 0.0
    keep: float | str = "30d"
    max: int = 10_000
    flags: bool = True
    visitors: bool = False

    def __post_init__(self) -> None:
        if type(self.share) not in (int, float) or not 0 <= self.share <= 1:
            raise DefinitionError(f"share must be a number from 0 to 1, not {self.share!r}.")
        try:
            seconds = units.parse_duration(self.keep)
        except ValueError as error:
            raise DefinitionError(f"keep: {error}") from error
        if not seconds:
            raise DefinitionError("keep must be longer than 0; without record=, nothing is kept.")
        check_whole("max", self.max, 1)
        if self.max > MAX_RECORDS:
            raise DefinitionError(f"max must be at most {MAX_RECORDS:,}, not {self.max:,}.")
        for name in ("flags", "visitors"):
            if not isinstance(getattr(self, name), bool):
                raise DefinitionError(f"{name} must be True or False, not {getattr(self, name)!r}.")

    @property
    def seconds(self) -> float:
        """The time after which a recorded call is deleted."""
        return units.parse_duration(self.keep)


NOT_RECORDED = Record()
"""What holds for a service without ``record=``: nothing is recorded; users may flag calls."""


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A service under its name, with its schema and metadata.

    - ``input``, ``output``: JSON Schemas (2020-12) with ``x-easymlnb`` hints for widgets.
    - ``accepts``, ``produces``: media types of raw bodies, and of results, besides JSON.
    - ``examples``: input objects, encoded as JSON values.
    - ``workers``: maximum number of workers; ``resources``: the other limits of the workers.
    - ``concurrency``: calls that one worker runs at once, 1 unless the function is async.
    - ``max_concurrent``: runs of the service at once in all workers, 0 for no limit.
    - ``placement``: where workers start, empty for the first one with enough GPUs.
    - ``on_timeout``: ``"job"`` lets a call continue as a job, so that none is lost at its timeout.
    - ``training``: how its jobs run, if it trains models: all its calls are jobs.
    - ``environment``: ``kernel`` or ``locked``, whether workers run with locked packages.
    - ``record``: which calls are kept with inputs and results, ``None`` for the default.
    - ``template``: of a model that was made without code, the template whose workers answer.
    - ``app``: layout of the app page from ``@f.app`` or tagged cells, ``None`` for the default.
    - ``deepaas``: the model of a DEEPaaS module whose method it runs, if it runs one.
    """

    name: str
    title: str
    input: Annotated[dict[str, Any], Meta(description="JSON Schema of the parameters.")]
    output: Annotated[dict[str, Any], Meta(description="JSON Schema of the result.")]
    description: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    license: str = ""
    examples: tuple[dict[str, Any], ...] = ()
    accepts: Annotated[
        tuple[str, ...], Meta(description="Media types of raw bodies, besides JSON and forms.")
    ] = ()
    produces: Annotated[
        tuple[str, ...], Meta(description="Media types that `Accept` may name, besides JSON.")
    ] = ()
    stream: Annotated[bool, Meta(description="Whether results come one by one.")] = False
    view: Annotated[bool, Meta(description="Whether the author defined a view.")] = False
    timeout: Annotated[float, Meta(description="Seconds that a call may take.")] = 30.0
    workers: int = 1
    placement: str = ""
    environment: Annotated[
        str, Meta(description="Packages of its workers: `kernel` or `locked`.")
    ] = "kernel"
    public: bool = False
    max_body: int = MAX_BODY
    batch: Batch | None = None
    concurrency: int = 1
    max_concurrent: int = 0
    on_timeout: Annotated[
        str, Meta(description="`job`: a call that takes longer than its timeout becomes a job.")
    ] = ""
    training: Training | None = None
    resources: WorkerResources = WorkerResources()
    metadata: Metadata | None = None
    record: Record | None = None
    template: str = ""
    app: dict[str, Any] | None = None
    deepaas: DeepaasModel | None = None

    @property
    def min_workers(self) -> int:
        """Number of published workers without calls."""
        least = self.resources.min_workers
        return self.workers if least is None else least

    @property
    def target_calls(self) -> float:
        """Target number of calls, running and queued, per worker."""
        if self.resources.target_calls is not None:
            return self.resources.target_calls
        return float(self.batch.max_size if self.batch else self.concurrency)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; defaults are left out."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ServiceSpec":
        """Read what ``to_dict`` wrote; raises ``msgspec.ValidationError`` on anything else."""
        return msgspec.convert(data, cls)

    def with_notebook_metadata(self, metadata: Mapping[str, Any]) -> "ServiceSpec":
        """Return the spec with its empty fields set from the notebook (see ``metadata.read``).

        Fields for this service take precedence over those for all services of the notebook.
        """
        fields = {key: value for key, value in metadata.items() if key != SERVICES}
        fields |= metadata.get(SERVICES, {}).get(self.name, {})
        own = {name: getattr(self, name) for name in _DESCRIPTIVE}
        if self.title == default_title(self.name):
            own["title"] = ""
        changes = {name: fields[name] for name in own if not own[name] and name in fields}
        more = {name: value for name, value in fields.items() if name not in own}
        if more:
            mine = msgspec.to_builtins(self.metadata) if self.metadata else {}
            changes["metadata"] = {**more, **mine}
        return self.from_dict({**self.to_dict(), **changes}) if changes else self


_DESCRIPTIVE = ("title", "description", "author", "license", "tags")
