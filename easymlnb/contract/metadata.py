"""Metadata of services for catalogs: author, requirements, citation.

Authors write it in the decorator, in the notebook's metadata or in a YAML file. ``read`` checks all
three, and the server checks the metadata in a bundle again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from easymlnb.contract.errors import BundleRejected
from easymlnb.contract.metadata_schema import FIELDS

SERVICES = "services"
"""Key of the fields for single services in the metadata of a notebook."""

ALIASES = {"keywords": "tags", "license": "license"}
"""Other spellings of fields."""


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Required resources; ``memory``, ``gpu_memory`` and ``storage`` in bytes, 0 if not given."""

    cpu: int = 0
    memory: int = 0
    gpu: int = 0
    gpu_memory: int = 0
    storage: int = 0


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Metadata besides the title, description, author, license and tags of a spec.

    ``date`` is the day of creation as ISO 8601, ``doi`` the bare identifier, ``dataset``,
    ``source`` and ``documentation`` are http(s) addresses, ``citation`` is a text or an address,
    ``thumbnail`` a data URI of a small WebP, PNG or JPEG.
    """

    summary: str = ""
    date: str = ""
    citation: str = ""
    doi: str = ""
    dataset: str = ""
    source: str = ""
    documentation: str = ""
    libraries: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    resources: Resources = Resources()
    thumbnail: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """An invalid field, and the reason as a sentence."""

    field: str
    message: str

    def to_dict(self) -> dict[str, str]:
        return {"field": self.field, "message": self.message}


NAMES = frozenset(FIELDS)
EXTRA = frozenset(Metadata.__struct_fields__)
"""The fields that have no argument of their own in the decorator."""

Checked = tuple[dict[str, Any], list[Problem]]
"""The valid fields as JSON values, and the problems of the others."""


def read(value: Any, *, only: frozenset[str] | None = None) -> Checked:
    """Return the valid fields as JSON values, and the problems of the others.

    ``only`` are the fields allowed; by default all, and ``services`` with fields per service.
    """
    valid, problems = _read_fields(value, only or NAMES | {SERVICES}, "")
    if only is None and isinstance(value, Mapping) and value.get(SERVICES) is not None:
        services, more = _read_services(value[SERVICES])
        problems += more
        if services:
            valid[SERVICES] = services
    return valid, problems


def sentence(problems: list[Problem]) -> str:
    """Return all problems in one line."""
    return " ".join(
        f"{problem.field}: {problem.message}" if problem.field else problem.message
        for problem in problems
    )


def rejected(problems: list[Problem]) -> BundleRejected:
    """Return the error that names each field."""
    return BundleRejected(
        f"The metadata is invalid. {sentence(problems)}",
        details=[problem.to_dict() for problem in problems],
    )


def check(value: Any) -> None:
    """Raise ``BundleRejected`` unless all fields are valid."""
    _, problems = read(value)
    if problems:
        raise rejected(problems)


def merged(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """Merge metadata; fields of ``strong`` take precedence."""
    services = {**weak.get(SERVICES, {})}
    for name, fields in strong.get(SERVICES, {}).items():
        services[name] = {**services.get(name, {}), **fields}
    both = {**weak, **strong}
    return {**both, SERVICES: services} if services else both


def default_title(name: str) -> str:
    """Return the title of a service whose author gave none."""
    return name.replace("_", " ").capitalize()


def _read_fields(given: Any, allowed: frozenset[str], place: str) -> Checked:
    if not isinstance(given, Mapping):
        return {}, [Problem(place, "The value must be a mapping of fields to values.")]
    valid: dict[str, Any] = {}
    problems = []
    for key, value in given.items():
        name = ALIASES.get(str(key), str(key))
        shown = f"{place}.{key}" if place else str(key)
        if name == SERVICES and SERVICES in allowed:
            continue
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            problems.append(Problem(shown[:80], f"Unknown field. Known fields: {known}."))
        elif name in valid:
            text = f"Duplicate field: {name!r} has the same meaning. Remove one of them."
            problems.append(Problem(shown, text))
        elif value is not None:
            try:
                valid[name] = FIELDS[name](value)
            except ValueError as error:
                problems.append(Problem(shown, str(error)))
    return valid, problems


def _read_services(given: Any) -> Checked:
    if not isinstance(given, Mapping):
        text = "The value must be a mapping of service names to their fields."
        return {}, [Problem(SERVICES, text)]
    valid, problems = {}, []
    for name, fields in given.items():
        valid[str(name)], more = _read_fields(fields, NAMES, f"{SERVICES}.{str(name)[:63]}")
        problems += more
    return valid, problems
