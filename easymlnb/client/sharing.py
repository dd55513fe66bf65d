"""Access to a service on a Hub's shared service, as requests express it."""

from collections.abc import Iterable, Mapping
from typing import Any


def wanted(
    users: Iterable[str], groups: Iterable[str], everyone: bool, public: bool
) -> dict[str, Any]:
    """Return what sets the access of a service; raises ``TypeError`` for what names nobody."""
    for what, value in (("everyone", everyone), ("public", public)):
        if not isinstance(value, bool):
            raise TypeError(f"{what} must be True or False, not {value!r}.")
    return {
        "users": _names("users", "bob", users),
        "groups": _names("groups", "ml", groups),
        "everyone": everyone,
        "public": public,
    }


def _names(what: str, example: str, given: Iterable[str]) -> list[str]:
    found = [] if isinstance(given, str | bytes | Mapping) else list(given)
    if isinstance(given, str | bytes | Mapping) or not all(
        isinstance(name, str) and name.strip() for name in found
    ):
        raise TypeError(f"{what} must be a list of names, such as {what}=[{example!r}].")
    return list(dict.fromkeys(name.strip() for name in found))
