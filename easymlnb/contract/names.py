"""Names of services: ``segment`` on one's own server, ``alice/segment`` on a shared service."""

import keyword
from urllib.parse import quote

from easymlnb.contract.errors import ServiceNotFound
from easymlnb.contract.spec import NAME

LONGEST = 255
"""Characters of an owner's name: it is what a JupyterHub calls a user."""

RESERVED = frozenset({"admin", "close"})
"""Attributes of the Python client, which no service may be named after."""


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
    """Return owner and plain name; the owner is ``""`` where none is said.

    Raises ``ServiceNotFound`` for what no service can be called.
    """
    owner, slash, plain = name.rpartition("/")
    if (slash and not _is_owner(owner)) or not NAME.match(plain):
        raise ServiceNotFound(name)
    return owner, plain


def _is_owner(text: str) -> bool:
    # A path of dots alone would lead elsewhere.
    return (
        0 < len(text) <= LONGEST
        and "/" not in text
        and text.isprintable()
        and bool(text.strip("."))
    )


def url_path(name: str) -> str:
    """Return a name as it stands in a URL; an owner may be called almost anything.

    Raises ``ServiceNotFound``.
    """
    split(name)
    return quoted(name)


def quoted(name: str) -> str:
    """Return the same for a name that is known to be one; an owner's has no slash."""
    return quote(name, safe="/")


def is_attribute(name: str) -> bool:
    """Say whether a service is reached as an attribute of the Python client, ``c.name``."""
    return "/" not in name and name not in RESERVED and not keyword.iskeyword(name)
