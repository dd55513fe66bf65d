"""How is told who may call a service of a Hub's shared service."""

from collections.abc import Mapping
from typing import Any


def sentence(name: str, access: Mapping[str, Any], owner: str = "you") -> str:
    """Say in a sentence who may call a service; ``owner`` is what to call its owner."""
    if access["public"]:
        return f"{name} may be called by everybody, also without a login."
    if access["everyone"]:
        return f"{name} may be called by everyone of the Hub."
    groups, users = list(access["groups"]), list(access["users"])
    named = [f"group {groups[0]}"] if len(groups) == 1 else []
    named = [f"groups {_and(groups)}"] if len(groups) > 1 else named
    who = " and by ".join([*named, *([_and(users)] if users else [])])
    if not who:
        return f"{name} may be called by nobody but {owner} and the Hub's administrators."
    return f"{name} may be called by {who}."


def _and(words: list[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), words[-1]])
