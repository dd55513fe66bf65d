"""How a function trains models, and what a worker says of a model that it trained."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from easymlnb.contract.errors import DefinitionError

TRAIN_LANE = "train"
"""The lane of trainings that name none."""

MAX_ATTEMPTS = 20

DESCRIPTION_FILE = "model.json"
"""Label of the job's file with the ``TrainedModel``, which comes after the files of the model."""

PRODUCTION = "production"
"""The alias of the version that services use."""

MODEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")


class Training(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the jobs of a function that trains a model run.

    - ``model``: the model that gets a version from each job that succeeds
    - ``metric``: the metric by which its versions are compared, empty for none
    - ``lane``: the lane of its jobs
    - ``attempts``: how often the function may raise before a job fails
    - ``timeout``: seconds that an attempt may run, 0 for the server's maximum
    """

    model: str
    metric: str = ""
    lane: str = TRAIN_LANE
    attempts: int = 1
    timeout: float = 0.0


class TrainedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a model, which the job has saved under a label."""

    path: Annotated[str, Meta(min_length=1, max_length=200)]
    label: str
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: Annotated[int, Meta(ge=0)]


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a job has trained, before it is a version.

    ``flavor`` is how to load it; ``data`` are the name, rows, columns and hash of what it was
    trained on.
    """

    model: str
    format: str
    flavor: dict[str, Any]
    files: tuple[TrainedFile, ...]
    signature: dict[str, Any] | None = None
    metrics: dict[str, float] = {}
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    note: str = ""
    data: tuple[dict[str, Any], ...] = ()


def check_model_name(name: Any) -> None:
    """Raise ``DefinitionError`` unless a model can have this name."""
    if not isinstance(name, str) or not MODEL_NAME.match(name):
        raise DefinitionError(
            f"Invalid model name {name!r}: use a lowercase letter, followed by lowercase letters, "
            "digits and _ (at most 63)."
        )
