"""Names of services: ``owner/segment`` on a shared service, ``segment`` on a user's server."""

import hashlib
from collections.abc import Iterable

import msgspec

from easymlnb.contract.spec import ServiceSpec


def full(owner: str, name: str) -> str:
    """Return the name of somebody's service on a shared service."""
    return f"{owner}/{name}"


def plain(name: str) -> str:
    """Return what a service is called in its own notebook, and by its workers."""
    return name.rpartition("/")[2]


def key(name: str) -> str:
    """Return a name of letters, digits, dots and dashes only, another one for each name."""
    owner, slash, last = name.rpartition("/")
    if not slash:
        return last
    safe = "".join(
        one if one.isascii() and (one.isalnum() or one in "-.") else f"_{ord(one):x}_"
        for one in owner
    )
    return f"{safe}.{last}"


def owned(specs: Iterable[ServiceSpec], owner: str) -> list[ServiceSpec]:
    """Return specs under their full names."""
    return [msgspec.structs.replace(spec, name=full(owner, spec.name)) for spec in specs]


def with_short_names(specs: Iterable[ServiceSpec]) -> list[ServiceSpec]:
    """Return specs under the names that their workers know."""
    return [
        msgspec.structs.replace(spec, name=plain(spec.name)) if "/" in spec.name else spec
        for spec in specs
    ]


def bundle_of(owner: str, content: str) -> str:
    """Return the id of one owner's bundle: the same notebook of two is run apart, as each."""
    return hashlib.sha256(f"{owner}\n{content}".encode()).hexdigest()
