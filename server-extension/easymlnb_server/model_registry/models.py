"""Models as requests and responses contain them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from easymlnb_server.identity.access import Access

Tags = Annotated[dict[str, str], Meta(max_length=100, description="Words of your own.")]
Title = Annotated[str, Meta(max_length=200)]
Text = Annotated[str, Meta(max_length=20_000, description="Markdown.")]
Version = Annotated[int, Meta(ge=1, le=2**31 - 1, description="The number of a version.")]


class NewModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model without versions."""

    name: Annotated[str, Meta(description="The model's name; on a shared service, also its owner.")]
    title: Title = ""
    description: Text = ""
    tags: Tags = {}


class ModelChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can change of a model; what is left out stays."""

    title: Title | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    access: Annotated[
        Access | UnsetType,
        Meta(description="Who may see and load the model, on a shared service."),
    ] = UNSET


class VersionDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``model.json`` in the zip of a new version."""

    format: Annotated[str, Meta(pattern=r"\A[a-z]{1,16}\Z")]
    flavor: dict[str, Any]
    origin: Literal["saved", "imported"] = "saved"
    signature: dict[str, Any] | None = None
    metrics: dict[str, float] = {}
    params: dict[str, Any] = {}
    tags: Tags = {}
    lineage: dict[str, Any] = {}
    note: Text = ""
    curves: Annotated[
        list[tuple[str, int, float]], Meta(description="Metrics: name, step and value.")
    ] = []


class VersionChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can change of a version; what is left out stays."""

    tags: Tags | UnsetType = UNSET
    note: Text | UnsetType = UNSET
    trusted: Annotated[
        Literal[True] | UnsetType,
        Meta(description="Allow your own code to open a version whose format can run code."),
    ] = UNSET


class AliasChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version an alias names; ``if`` is the one that it must name now."""

    version: Version
    expected: int | UnsetType | None = msgspec.field(default=UNSET, name="if")


class FileShown(msgspec.Struct, kw_only=True):
    """A file of a version."""

    path: str
    sha256: str
    size: int
    url: str


class AliasShown(msgspec.Struct, kw_only=True):
    """An alias; ``changed`` is a time in UTC."""

    alias: str
    version: int
    changed: str
    changed_by: str


class ModelShown(msgspec.Struct, kw_only=True):
    """A model; times are in UTC."""

    name: str
    owner: str
    title: str
    description: str
    tags: dict[str, str]
    template: str | None
    latest: Annotated[int | None, Meta(description="The highest number of a version.")]
    versions: list[int]
    aliases: dict[str, int]
    created: str
    changed: str
    url: str


class UseShown(msgspec.Struct, kw_only=True):
    """A version of a service that loads the model as ``ref``, an alias or a number."""

    service: str
    version: int
    ref: str


class ServingShown(msgspec.Struct, kw_only=True):
    """What one worker has loaded; ``error`` is why it does not serve ``wanted``."""

    service: str
    ref: str
    version: int
    wanted: int
    error: str


class ModelDetails(ModelShown, kw_only=True):
    """A model with its aliases, who may load it, and who does."""

    access: Annotated[
        Access | UnsetType, Meta(description="Only for those who manage the model.")
    ] = UNSET
    config: dict[str, Any] | None
    changes: list[AliasShown]
    uses: list[UseShown]
    serving: list[ServingShown]


class VersionShown(msgspec.Struct, kw_only=True):
    """A version; times are in UTC."""

    model: str
    version: int
    aliases: list[str]
    format: str
    flavor: dict[str, Any]
    size: int
    signature: dict[str, Any] | None
    metrics: dict[str, float]
    params: dict[str, Any]
    tags: dict[str, str]
    lineage: dict[str, Any]
    note: str
    author: str
    origin: str
    job: str | None
    runs_code: Annotated[bool, Meta(description="Whether opening its files can run code.")]
    trusted: Annotated[bool, Meta(description="Whether its owner has allowed to open it.")]
    own: Annotated[bool, Meta(description="Whether your code may open it also if it runs code.")]
    created: str
    url: str


class MetricShown(msgspec.Struct, kw_only=True):
    """A value of a learning curve."""

    name: str
    step: int
    value: float


class VersionDetails(VersionShown, kw_only=True):
    """A version with its files and learning curves."""

    files: list[FileShown]
    curves: list[MetricShown]


class ModelList(msgspec.Struct, kw_only=True):
    """A part of the models by name; ``next`` is the ``start`` of the next part."""

    models: list[ModelShown]
    total: int
    next: str | None


class ModelVersionList(msgspec.Struct, kw_only=True):
    """The versions of a model, newest first."""

    versions: list[VersionShown]


class Row(msgspec.Struct, kw_only=True):
    """One metric or parameter of all compared versions; ``None`` where a version has none."""

    name: str
    values: list[Any]
    same: bool


class ModelComparison(msgspec.Struct, kw_only=True):
    """Versions side by side."""

    model: str
    versions: list[VersionShown]
    metrics: list[Row]
    params: list[Row]
