"""Who may call a service on a Hub's shared service: what to ask for, and how it is told."""

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


def sentence(name: str, access: Mapping[str, Any]) -> str:
    """Say in a sentence who may call a service."""
    if access["public"]:
        return f"{name} may be called by everybody, also without a login."
    if access["everyone"]:
        return f"{name} may be called by everyone of the Hub."
    groups, users = list(access["groups"]), list(access["users"])
    named = [f"group {groups[0]}"] if len(groups) == 1 else []
    named = [f"groups {_and(groups)}"] if len(groups) > 1 else named
    who = " and by ".join([*named, *([_and(users)] if users else [])])
    if not who:
        return f"{name} may be called by nobody but you and the Hub's administrators."
    return f"{name} may be called by {who}."


def _and(words: list[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), words[-1]])
