"""The specification of a service, as data that the kernel, the server and clients share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.metadata import SERVICES, Metadata, default_title
from easymlnb.contract.options import named_options
from easymlnb.contract.resources import WorkerResources

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")

MAX_BODY = 100 * 2**20
"""Default limit of a call's body in bytes."""

MAX_BATCH_WAIT = 60.0
"""Largest ``max_wait`` of a batch in seconds."""

VIEW = "application/vnd.easymlnb.view+json"
"""Media type of what a person should see of a result (``docs/reference/views.md``)."""


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
        if type(self.max_size) is not int or self.max_size < 1:
            raise DefinitionError(
                f"max_size must be a whole number of at least 1, not {self.max_size!r}."
            )
        if type(self.max_wait) not in (int, float) or not 0 <= self.max_wait <= MAX_BATCH_WAIT:
            raise DefinitionError(
                f"max_wait must be from 0 to {MAX_BATCH_WAIT:g} seconds, not {self.max_wait!r}."
            )


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A service under its name, with its schema and metadata.

    ``input`` is the JSON Schema (2020-12) of the object of parameters, ``output`` that of the
    result; both carry ``x-easymlnb`` hints for widgets. ``accepts`` names the media types that
    may be sent raw, as the whole body, in place of JSON; ``produces`` those that ``Accept`` may
    ask for beside JSON. ``examples`` are input objects, encoded as JSON values. ``metadata`` is
    what catalogs want to know beyond that. ``workers`` is how many there are at most, ``running``
    what else they run with. ``concurrency`` is how many calls of an ``async def`` run at once in
    one worker, 1 for everything else; ``max_concurrent`` how many runs of the service there may be
    at once in all workers, 0 for as many as there are places. ``placement`` is where its workers
    start, empty for wherever they find the GPUs that they need. ``app`` is the layout of the
    service's page that ``@f.app`` or tagged cells made, None for the usual one.
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
    view: Annotated[bool, Meta(description="Whether the author shaped what people see.")] = False
    timeout: Annotated[float, Meta(description="Seconds that a call may take.")] = 30.0
    workers: int = 1
    placement: str = ""
    public: bool = False
    max_body: int = MAX_BODY
    batch: Batch | None = None
    concurrency: int = 1
    max_concurrent: int = 0
    running: WorkerResources = WorkerResources()
    metadata: Metadata | None = None
    app: dict[str, Any] | None = None

    @property
    def min_workers(self) -> int:
        """How many published workers there are even when nobody calls."""
        least = self.running.min_workers
        return self.workers if least is None else least

    @property
    def target_calls(self) -> float:
        """How many calls, running and in line, one worker should have."""
        if self.running.target_calls is not None:
            return self.running.target_calls
        return float(self.batch.max_size if self.batch else self.concurrency)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; defaults are left out."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ServiceSpec":
        """Read what ``to_dict`` wrote; raises ``msgspec.ValidationError`` on anything else."""
        return msgspec.convert(data, cls)

    def with_notebook_metadata(self, said: Mapping[str, Any]) -> "ServiceSpec":
        """Return the spec with what its notebook says (``metadata.read``) where it says nothing.

        What holds for this service alone counts more than what holds for all of the notebook.
        """
        fields = {key: value for key, value in said.items() if key != SERVICES}
        fields |= said.get(SERVICES, {}).get(self.name, {})
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
