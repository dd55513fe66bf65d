"""Names and changes of models without code. Pure functions."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from easymlnb.contract.errors import BadRequest, TooLarge, UnsupportedMediaType
from easymlnb.contract.names import name_problem
from easymlnb.contract.units import format_size
from easymlnb_server.model_templates.bundles import PREFIX, Template
from easymlnb_server.model_templates.models import (
    CHANGES_OPTIONS,
    Choices,
    DataFile,
    FormerChoices,
    Options,
    TemplateConfig,
    TemplateModelChange,
)

PRODUCTION = "production"
"""The alias of the version that predicts; without it, the latest one does."""


def check_name(name: str) -> str:
    """Return the name of a model, which can be that of a service; raises ``BadRequest``."""
    problem = name_problem(name)
    if problem or name.startswith(PREFIX):
        reserved = f"Names that begin with {PREFIX!r} are reserved."
        raise BadRequest(f"Invalid model name {name[:80]!r}. {problem or reserved}")
    return name


def check_file(template: Template, name: str, size: int) -> None:
    """Raise ``UnsupportedMediaType`` or ``TooLarge`` if a template does not read a file."""
    if not name.lower().endswith(template.accept):
        raise UnsupportedMediaType(name[-80:] or "a file without a name", template.accept)
    if size > template.max_bytes:
        most = format_size(template.max_bytes)
        raise TooLarge(
            f"The file of {format_size(size)} exceeds the limit of {most} of the template "
            f"{template.name!r}. Send fewer rows or columns; a sample is usually enough."
        )


def changed_options(options: Options, change: TemplateModelChange) -> Options:
    """Return the configuration with a change; raises ``BadRequest`` if the result is invalid."""
    given = {
        name: msgspec.to_builtins(value)
        for name in CHANGES_OPTIONS
        if (value := getattr(change, name)) is not UNSET
    }
    try:
        return msgspec.convert({**options, **given}, Choices).options()
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid change: {error}.") from error


def trains(change: TemplateModelChange) -> bool:
    """Return whether a change needs a new version."""
    return change.data is not UNSET or any(
        getattr(change, name) is not UNSET for name in CHANGES_OPTIONS
    )


def with_choices(config: TemplateConfig, options: Options, data: DataFile) -> TemplateConfig:
    """Return a configuration for a training, which keeps the choices of the one before."""
    former = config.former
    if former is None and config.data is not None:
        former = FormerChoices(options=config.options, data=config.data)
    return msgspec.structs.replace(config, options=options, data=data, former=former)


def after_training(config: TemplateConfig, *, succeeded: bool) -> TemplateConfig:
    """Return the configuration after a training: a failed one leaves the former choices."""
    former = config.former
    if former is None or succeeded:
        return msgspec.structs.replace(config, former=None)
    return msgspec.structs.replace(config, options=former.options, data=former.data, former=None)


def predicting(aliases: Mapping[str, int], latest: int | None) -> int | None:
    """Return the version that predicts."""
    return aliases.get(PRODUCTION, latest)


def rows_of(body: Any) -> tuple[list[Any], list[Any]]:
    """Return the inputs and outputs that a body of the paper's client has; raises ``BadRequest``.

    ``{"x": [[1], [2]], "y": [1, 2]}``, the same with ``data`` and ``target``, or rows with the
    output last: ``{"data": [[1, 1], [2, 2]]}`` and ``[[1, 1], [2, 2]]``.
    """
    if isinstance(body, Mapping):
        inputs = next((body[name] for name in ("x", "X", "data", "input") if name in body), None)
        outputs = next((body[name] for name in ("y", "target", "output") if name in body), None)
    else:
        inputs, outputs = body, None
    if not isinstance(inputs, list) or (outputs is not None and not isinstance(outputs, list)):
        raise BadRequest('Send the data as JSON, such as {"x": [[1], [2]], "y": [1, 2]}.')
    rows = [list(row) if isinstance(row, list) else [row] for row in inputs]
    if outputs is None:
        return rows, []
    if len(outputs) != len(rows):
        raise BadRequest(f"The data has {len(rows)} inputs and {len(outputs)} outputs.")
    return rows, outputs
