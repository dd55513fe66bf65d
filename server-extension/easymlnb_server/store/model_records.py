"""Records of models, their versions and aliases, as they are stored. Times are seconds, UTC."""

from dataclasses import dataclass, field
from typing import Any, Literal

Origin = Literal["job", "saved", "imported"]
"""How a version came to be: trained by a job, saved from Python, or imported from files."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a version: its path in the model's folder, and its content's hash and size."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """A value of a metric at a step of the training."""

    name: str
    step: int
    value: float
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model; ``last`` is the highest number that a version of it ever had.

    ``template`` and ``config`` are those of a model that was made without code.
    """

    name: str
    owner: str
    title: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    template: str | None = None
    config: dict[str, Any] | None = None
    access: dict[str, Any] | None = None
    last: int = 0
    created: float = 0.0
    changed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version before it has a number.

    - ``key``: the ID of the job or upload; a version with the same key is not added twice
    - ``author``: the user whose workers may open it if its format can run code
    - ``flavor``: how to load it, such as its main file and the versions of packages
    - ``metrics``, ``params``: results and parameters of the training
    - ``curves``: metrics by step
    - ``trusted``: whether its owner allows to open a format that can run code
    """

    key: str
    author: str
    origin: Origin
    format: str
    flavor: dict[str, Any]
    files: tuple[ModelFile, ...]
    job: str | None = None
    signature: dict[str, Any] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    trusted: bool = False
    curves: tuple[MetricPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersionRow:
    """A stored version. Only ``tags``, ``note`` and ``trusted`` can change."""

    model: str
    number: int
    key: str
    author: str
    origin: Origin
    job: str | None
    format: str
    flavor: dict[str, Any]
    files: tuple[ModelFile, ...]
    size: int
    signature: dict[str, Any] | None
    metrics: dict[str, float]
    params: dict[str, Any]
    tags: dict[str, str]
    lineage: dict[str, Any]
    note: str
    trusted: bool
    created: float


@dataclass(frozen=True, slots=True)
class AliasRow:
    """A name of a version; ``token`` grows with each change."""

    alias: str
    number: int
    token: int
    changed: float
    changed_by: str


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A version of a service whose notebook loads a model as ``ref``, an alias or a number."""

    service: str
    version: int
    ref: str


@dataclass(frozen=True, slots=True)
class ModelOverview:
    """A model with its aliases and the numbers of its versions, oldest first."""

    model: ModelRow
    aliases: dict[str, int]
    numbers: tuple[int, ...]

    @property
    def latest(self) -> int | None:
        return self.numbers[-1] if self.numbers else None
