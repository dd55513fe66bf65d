"""Models without code, as requests, responses and the registry contain them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Algorithm = Annotated[
    Literal["linear", "forest", "boosting", "network", "baseline", "compare"],
    Meta(description="`compare` tries all but `network`, which is for images, and takes the best."),
]
Question = Literal["", "classification", "regression", "forecast"]
Columns = Annotated[
    dict[str, str],
    Meta(
        description="Kinds of columns: `number`, `category`, `boolean`, `date`, `text`; `ignore` "
        "leaves one out."
    ),
]
Options = dict[str, Any]
"""The configuration of a model as its template reads it."""


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a table is read; what is empty is detected."""

    encoding: str = ""
    separator: str = ""
    decimal: Literal["", ".", ","] = ""
    dates: Annotated[
        Literal["", "day", "month"], Meta(description="Which of them is first in `03/04/2025`.")
    ] = ""


class Choices(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model is made from; what is left out is chosen by the data."""

    target: Annotated[str, Meta(description="The column to predict.")] = ""
    question: Question = ""
    algorithm: Algorithm = "compare"
    columns: Columns = {}
    reading: Reading = Reading()
    time: Annotated[str, Meta(description="Column of times to split by; `-` for none.")] = ""
    groups: Annotated[str, Meta(description="Rows with the same value stay together.")] = ""
    horizon: Annotated[int, Meta(ge=0, le=1000, description="Steps of a forecast.")] = 0
    metric: str = ""
    folds: Annotated[int, Meta(ge=2, le=20)] = 5
    seed: int = 0

    def options(self) -> Options:
        """Return the configuration for the template."""
        found: Options = {
            name: msgspec.to_builtins(getattr(self, name)) for name in Choices.__struct_fields__
        }
        return {name: value for name, value in found.items() if value not in ("", {}, None)}


class NewTemplateModel(Choices, frozen=True, kw_only=True, omit_defaults=True):
    """A model to make from data; without ``data`` it gets its first version later."""

    name: str
    template: str
    data: Annotated[str, Meta(description="The id of an upload.")] = ""
    title: Annotated[str, Meta(max_length=200)] = ""


class TemplateModelChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What changes of a model: other data or choices train a new version."""

    data: str | UnsetType = UNSET
    target: str | UnsetType = UNSET
    question: Question | UnsetType = UNSET
    algorithm: Algorithm | UnsetType = UNSET
    columns: Columns | UnsetType = UNSET
    reading: Reading | UnsetType = UNSET
    time: str | UnsetType = UNSET
    groups: str | UnsetType = UNSET
    horizon: int | UnsetType = UNSET
    metric: str | UnsetType = UNSET
    folds: int | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    exposed: Annotated[
        bool | UnsetType, Meta(description="Whether the model is a service of its name.")
    ] = UNSET
    public_training: Annotated[
        bool | UnsetType,
        Meta(description="Whether visitors without a login may train it, with limits."),
    ] = UNSET


CHANGES_OPTIONS = tuple(Choices.__struct_fields__)


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a model: a stored file, its name and its size."""

    file: str
    name: str
    size: int


class FormerChoices(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was trained with before the training that is under way."""

    options: Options
    data: DataFile


class TemplateConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The configuration of a model in the registry.

    - ``options``: what the template gets
    - ``data``: what it was trained with last
    - ``former``: both as they were before a training that has not ended; a failed one restores them
    - ``job``: the training that was submitted last
    - ``exposed``: whether the model is a service of its name
    - ``public_training``: whether visitors without a login may train it
    """

    options: Options = {}
    data: DataFile | None = None
    former: FormerChoices | None = None
    job: str = ""
    exposed: bool = False
    public_training: bool = False

    @classmethod
    def read(cls, stored: dict[str, Any] | None) -> "TemplateConfig":
        """Return what is stored; what is unreadable counts as empty."""
        try:
            return msgspec.convert(stored or {}, cls)
        except msgspec.ValidationError:
            return cls()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @property
    def files(self) -> set[str]:
        """The stored files that are needed."""
        kept = (self.data, self.former.data if self.former is not None else None)
        return {data.file for data in kept if data is not None}


class TemplateShown(msgspec.Struct, frozen=True, kw_only=True):
    """A template."""

    name: str
    title: str
    description: str
    accept: Annotated[list[str], Meta(description="Endings of the files that it reads.")]
    max_bytes: int


class TemplateList(msgspec.Struct, frozen=True, kw_only=True):
    """All templates."""

    templates: list[TemplateShown]


class TemplateModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model without code, and the training that is under way or was last."""

    name: str
    template: str
    title: str
    options: Options
    data: Annotated[str, Meta(description="Name of the file of its data.")]
    exposed: bool
    public_training: bool
    latest: int | None
    production: Annotated[int | None, Meta(description="The version that predicts.")]
    versions: list[int]
    job: Annotated[str, Meta(description="The id of the latest training; empty without one.")]
    url: str
    page: str
    predict: str


class LookRequest(Choices, frozen=True, kw_only=True, omit_defaults=True):
    """Data to describe."""

    template: str
    data: Annotated[str, Meta(description="The id of an upload.")] = ""
    model: Annotated[str, Meta(description="In place of it: a model, for its own data.")] = ""


class PredictRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to predict."""

    data: Annotated[list[Any], Meta(description="Objects with a value for each column.")]
    version: Annotated[int, Meta(ge=0, description="0 for the one in production.")] = 0


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions of rows, in their order."""

    predictions: list[Any]
    probabilities: list[dict[str, float]] | UnsetType = UNSET
    warnings: Annotated[
        list[dict[str, Any]] | UnsetType,
        Meta(description="What is unusual about rows: `row`, `column` and `message`."),
    ] = UNSET
    model: dict[str, Any]
