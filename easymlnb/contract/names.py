"""Names of services: ``segment`` on one's own server, ``alice/segment`` on a shared service."""

import keyword
from urllib.parse import quote

from easymlnb.contract.errors import ServiceNotFound
from easymlnb.contract.spec import NAME

LONGEST = 255
"""Longest name of an owner, which is a user of a JupyterHub, in characters."""

RESERVED = frozenset({"admin", "close", "jobs", "models", "outbox", "templates"})
"""Attributes of the Python client, which are not allowed as names of services."""


def name_problem(name: str) -> str:
    """Return what is wrong with the name of a new service, and what to do; else ``""``."""
    if not NAME.match(name):
        return (
            f"Invalid service name {name[:80]!r}: use a lowercase letter, followed by lowercase "
            "letters, digits and _ (at most 63). Set the name with @ml.service(name=...)."
        )
    if name in RESERVED:
        return (
            f"The service name {name!r} is reserved: the Python client has an attribute {name!r}. "
            "Choose another name with @ml.service(name=...)."
        )
    return ""


def split(name: str) -> tuple[str, str]:
    """Return owner and short name; the owner is empty if the name has none.

    Raises ``ServiceNotFound`` for an invalid name.
    """
    owner, slash, short_name = name.rpartition("/")
    if (slash and not _is_owner(owner)) or not NAME.match(short_name):
        raise ServiceNotFound(name)
    return owner, short_name


def _is_owner(text: str) -> bool:
    # A path of only dots would be another folder.
    valid = text.isprintable() and "/" not in text and text.strip(".")
    return bool(valid) and len(text) <= LONGEST


def url_path(name: str) -> str:
    """Return a name for a URL; raises ``ServiceNotFound`` for an invalid name."""
    split(name)
    return quoted(name)


def quoted(name: str) -> str:
    """Return a valid name for a URL."""
    return quote(name, safe="/")


def is_attribute(name: str) -> bool:
    """Say whether a service is an attribute of the Python client, ``c.name``."""
    return "/" not in name and name not in RESERVED and not keyword.iskeyword(name)
