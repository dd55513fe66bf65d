"""The definition of a service: schema, specification and view of a function."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract import resources
from easymlnb.contract.environment_lock import check_choice
from easymlnb.contract.errors import DefinitionError, InvalidInput
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.metadata import EXTRA, Metadata, default_title, sentence
from easymlnb.contract.metadata import read as read_metadata
from easymlnb.contract.names import name_problem
from easymlnb.contract.options import check_whole
from easymlnb.contract.spec import MAX_BODY, Record, ServiceSpec
from easymlnb.services import thumbnail
from easymlnb.services.batching import per_call_signature
from easymlnb.services.schema import Schema
from easymlnb.services.signature import read

Function = Callable[..., Any]

MULTIPART_OVERHEAD = 2**20
"""Bytes of a multipart body in addition to its largest file."""

CONCURRENCY = 16
"""Default number of calls of an ``async def`` that one worker runs at once."""

SERVICES: dict[str, "Service"] = {}
"""The services of this process, which is a single notebook, by name."""


@dataclass(slots=True)
class Service:
    """A function as a service; only ``@f.view`` and ``@f.app`` change it."""

    function: Function
    schema: Schema
    spec: ServiceSpec
    view_function: Function | None = field(default=None)
    view_parameters: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.spec.name

    def set_view(self, function: Function) -> None:
        """Set the view, ``function(<any of the parameters>, result)``."""
        self.view_parameters = _view_parameters(
            self.name, set(self.spec.input["properties"]), function
        )
        self.view_function = function
        self.spec = msgspec.structs.replace(self.spec, view=True)

    def set_app(self, tree: dict[str, Any]) -> None:
        """Set the layout of the app page (see ``forms.layout_builder``)."""
        self.spec = msgspec.structs.replace(self.spec, app=tree)


def define(function: Function, **options: Any) -> Service:
    """Define the service of a function; raises ``DefinitionError`` with the fix."""
    schema = Schema(function, per_call_signature(read(function), options.get("batch")))
    name = options.pop("name", None) or _name(function)
    if problem := name_problem(name):
        raise DefinitionError(problem)
    examples = _examples(name, schema, options.pop("examples", ()))
    spec = ServiceSpec(
        name=name,
        title=options.pop("title", None) or default_title(name),
        description=cleandoc(options.pop("description", None) or schema.description),
        tags=_texts("tags", options.pop("tags", ())),
        examples=examples,
        metadata=_metadata(schema, examples, options.pop("metadata", None)),
        input=schema.input,
        output=schema.output,
        accepts=schema.accepts,
        produces=schema.produces,
        stream=schema.stream,
        **resources.parse(options),
        **_concurrency(name, schema, options),
        **_checked(_with_max_body(schema, options)),
    )
    return Service(function, schema, spec)


def _name(function: Function) -> str:
    return re.sub(r"\W|^_+", "", function.__name__).lower() or function.__name__


def _view_parameters(name: str, known: set[str], function: Function) -> frozenset[str]:
    """Return the parameters of the service that a view has besides ``result``."""
    if not callable(function):
        raise DefinitionError(f"@{name}.view must decorate a function.")
    wanted = signature(function).parameters
    if any(
        p.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL) for p in wanted.values()
    ):
        raise DefinitionError(f"The view of {name!r} must not have positional-only parameters.")
    if any(p.kind is Parameter.VAR_KEYWORD for p in wanted.values()):
        return frozenset(known)
    if "result" not in wanted:
        raise DefinitionError(f"The view of {name!r} needs a parameter named 'result'.")
    needed = {n for n, p in wanted.items() if p.default is Parameter.empty}
    unknown = sorted(needed - known - {"result"})
    if unknown:
        raise DefinitionError(
            f"The view of {name!r} has the parameters {', '.join(unknown)}, which {name!r} does "
            f"not have. Allowed: result and any of: {', '.join(sorted(known)) or 'nothing else'}."
        )
    return frozenset(set(wanted) & known)


def _texts(what: str, values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise DefinitionError(f"{what} must be a list of strings, such as {what}=['demo'].")
    return tuple(values)


def _metadata(
    schema: Schema, examples: tuple[dict[str, Any], ...], given: Mapping[str, Any] | None
) -> Metadata | None:
    """Return the decorator's metadata for catalogs, with a thumbnail if possible."""
    fields = dict(given) if isinstance(given, Mapping) else given or {}
    try:
        if isinstance(fields, dict) and isinstance(name := fields.get("thumbnail"), str | Path):
            fields["thumbnail"] = thumbnail.of_file(Path(name))
    except ValueError as error:
        raise DefinitionError(f"metadata: thumbnail: {error}") from error
    valid, problems = read_metadata(fields, only=EXTRA)
    if problems:
        raise DefinitionError(
            f"metadata: {sentence(problems)}", details=[problem.to_dict() for problem in problems]
        )
    if "thumbnail" not in valid and (picture := thumbnail.of_examples(schema.input, examples)):
        valid["thumbnail"] = picture
    return msgspec.convert(valid, Metadata) if valid else None


def _concurrency(name: str, schema: Schema, options: dict[str, Any]) -> dict[str, Any]:
    """Return the limits of concurrent calls; only coroutines run several in one worker."""
    coroutine = schema.is_async and options.get("batch") is None
    at_once, most = options.pop("concurrency", None), options.pop("max_concurrent", None)
    for key, value in (("concurrency", at_once), ("max_concurrent", most)):
        if value is not None:
            check_whole(key, value, 1)
    if at_once is not None and at_once > 1 and not coroutine:
        raise DefinitionError(
            "concurrency requires an async function that is not batched; a worker runs one call "
            f"of {name!r} at a time. Write 'async def', or set workers={at_once} for more "
            "workers."
        )
    return {
        "concurrency": at_once or (CONCURRENCY if coroutine else 1),
        "max_concurrent": most or 0,
    }


def _with_max_body(schema: Schema, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with a ``max_body`` for the largest file of a parameter."""
    largest = max((parameter.max_bytes for parameter in file_parameters(schema.input)), default=0)
    if options.get("max_body") is None and largest > MAX_BODY:
        return {**options, "max_body": largest + MULTIPART_OVERHEAD}
    return options


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """Check the given options; ``None`` means the default."""
    given = {key: value for key, value in options.items() if value is not None}
    for key, limit in (("timeout", 0.0), ("max_body", 1)):
        value = given.get(key)
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or value < limit or value == 0 or value == float("inf"):
            raise DefinitionError(f"{key} must be a positive number, not {value!r}.")
    if given.get("on_timeout", "job") != "job":
        raise DefinitionError(f"on_timeout must be 'job', not {given['on_timeout']!r}.")
    if "environment" in given:
        check_choice(given["environment"])
    if "record" in given and not isinstance(given["record"], Record):
        raise DefinitionError(
            f"record must be an ml.Record such as ml.Record(share=0.1), not {given['record']!r}."
        )
    for key in ("author", "license", "placement"):
        if not isinstance(given.get(key, ""), str):
            raise DefinitionError(f"{key} must be a string, not {given[key]!r}.")
    return given


def _examples(
    name: str, schema: Schema, examples: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Check the examples and return them as the JSON values that a caller would send."""
    checked = []
    if isinstance(examples, Mapping):
        raise DefinitionError(f"examples of {name!r} must be a list of dicts: examples=[{{...}}].")
    for number, example in enumerate(examples):
        if not isinstance(example, Mapping):
            raise DefinitionError(f"Example {number} of {name!r} must be a dict of parameters.")
        try:
            encoded = schema.encode_input(example)
            schema.load_json(json.dumps(encoded).encode())
        except InvalidInput as error:
            raise DefinitionError(f"Example {number} of {name!r}: {error.message}") from error
        checked.append(encoded)
    return tuple(checked)
