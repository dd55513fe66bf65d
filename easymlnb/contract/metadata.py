"""What an author says of a service for catalogs: whose it is, what it needs, how to cite it.

Authors say it in the decorator, in the notebook's metadata or in a YAML file; ``read`` checks all
three alike, and the server checks again what comes in a bundle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from easymlnb.contract.errors import BundleRejected
from easymlnb.contract.metadata_schema import FIELDS

SERVICES = "services"
"""Key under which a notebook with several services says what holds for one of them only."""

ALIASES = {"keywords": "tags", "license": "license"}
"""Other spellings of fields."""


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker should find; ``memory``, ``gpu_memory``, ``storage`` in bytes. 0: not said."""

    cpu: int = 0
    memory: int = 0
    gpu: int = 0
    gpu_memory: int = 0
    storage: int = 0


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a spec says beside its title, description, author, license and tags.

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
    """A field that cannot be used, and why, as a sentence."""

    field: str
    message: str

    def to_dict(self) -> dict[str, str]:
        return {"field": self.field, "message": self.message}


NAMES = frozenset(FIELDS)
EXTRA = frozenset(Metadata.__struct_fields__)
"""The fields that have no argument of their own in the decorator."""

Checked = tuple[dict[str, Any], list[Problem]]
"""Fields as plain JSON values, and what is wrong with the others."""


def read(told: Any, *, only: frozenset[str] | None = None) -> Checked:
    """Return the fields of ``told`` that are good, as JSON values, and the problems of the others.

    ``only`` names the fields that may be said here; by default all, and ``services`` with fields
    for one service each.
    """
    found, problems = _read_fields(told, only or NAMES | {SERVICES}, "")
    if only is None and isinstance(told, Mapping) and told.get(SERVICES) is not None:
        services, more = _read_services(told[SERVICES])
        problems += more
        if services:
            found[SERVICES] = services
    return found, problems


def sentence(problems: list[Problem]) -> str:
    """Return all problems in one line."""
    return " ".join(f"{one.field}: {one.message}" if one.field else one.message for one in problems)


def rejected(problems: list[Problem]) -> BundleRejected:
    """Return the error that names each field."""
    return BundleRejected(
        f"The metadata is invalid. {sentence(problems)}",
        details=[one.to_dict() for one in problems],
    )


def check(told: Any) -> None:
    """Raise ``BundleRejected`` unless all fields are good."""
    _, problems = read(told)
    if problems:
        raise rejected(problems)


def merged(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """Return both; of a field that both say, ``strong``'s counts."""
    found = {**weak, **strong}
    services = {**weak.get(SERVICES, {})}
    for name, fields in strong.get(SERVICES, {}).items():
        services[name] = {**services.get(name, {}), **fields}
    return {**found, SERVICES: services} if services else found


def default_title(name: str) -> str:
    """Return the title of a service whose author gave none."""
    return name.replace("_", " ").capitalize()


def _read_fields(told: Any, allowed: frozenset[str], place: str) -> Checked:
    if not isinstance(told, Mapping):
        return {}, [Problem(place, "The value must be a mapping of fields to values.")]
    found: dict[str, Any] = {}
    problems = []
    for key, value in told.items():
        name = ALIASES.get(str(key), str(key))
        shown = f"{place}.{key}" if place else str(key)
        if name == SERVICES and SERVICES in allowed:
            continue
        if name not in allowed:
            problems.append(Problem(shown[:80], f"Unknown field. Known fields: {_list(allowed)}."))
        elif name in found:
            problems.append(
                Problem(
                    shown, f"Duplicate field: {name!r} has the same meaning. Remove one of them."
                )
            )
        elif value is not None:
            try:
                found[name] = FIELDS[name](value)
            except ValueError as error:
                problems.append(Problem(shown, str(error)))
    return found, problems


def _read_services(told: Any) -> Checked:
    if not isinstance(told, Mapping):
        return {}, [
            Problem(SERVICES, "The value must be a mapping of service names to their fields.")
        ]
    found, problems = {}, []
    for name, fields in told.items():
        found[str(name)], more = _read_fields(fields, NAMES, f"{SERVICES}.{str(name)[:63]}")
        problems += more
    return found, problems


def _list(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
