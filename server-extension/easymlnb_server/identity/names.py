"""Names of services: ``owner/segment`` on a shared service, ``segment`` on a user's server."""

import hashlib
from collections.abc import Iterable

import msgspec

from easymlnb.contract.spec import ServiceSpec

GROUP = "group:"
"""Start of the owner of what belongs to a group of the Hub; no user's name may begin with it."""


def group_of(owner: str) -> str | None:
    """Return the group that an owner is; ``None`` for a user."""
    return owner.removeprefix(GROUP) if owner.startswith(GROUP) else None


def qualified_name(owner: str, name: str) -> str:
    """Return the name of a user's or group's service on a shared service."""
    return f"{owner.removeprefix(GROUP)}/{name}"


def short_name(name: str) -> str:
    """Return the name of a service in its notebook and its workers."""
    return name.rpartition("/")[2]


def slug(name: str) -> str:
    """Return a unique form of a name with ASCII letters, digits, dots, dashes and underscores."""
    owner, slash, last = name.rpartition("/")
    if not slash:
        return last
    safe = "".join(
        char if char.isascii() and (char.isalnum() or char in "-.") else f"_{ord(char):x}_"
        for char in owner
    )
    return f"{safe}.{last}"


def with_qualified_names(specs: Iterable[ServiceSpec], owner: str) -> list[ServiceSpec]:
    """Return specs under their qualified names."""
    return [msgspec.structs.replace(spec, name=qualified_name(owner, spec.name)) for spec in specs]


def with_short_names(specs: Iterable[ServiceSpec]) -> list[ServiceSpec]:
    """Return specs under the names that their workers use."""
    return [
        msgspec.structs.replace(spec, name=short_name(spec.name)) if "/" in spec.name else spec
        for spec in specs
    ]


def bundle_id(owner: str, content: str) -> str:
    """Return the id of an owner's bundle; the same notebook of two owners has two ids."""
    return hashlib.sha256(f"{owner}\n{content}".encode()).hexdigest()
