"""Describe the access to a service in a sentence."""

from collections.abc import Mapping
from typing import Any


def describe_access(name: str, access: Mapping[str, Any], owner: str = "you") -> str:
    """Return a sentence about who can call a service; ``owner`` is the subject for its owner."""
    if access["public"]:
        return f"Anyone can call {name}, without a login."
    if access["everyone"]:
        return f"All users of the Hub can call {name}."
    groups, users = list(access["groups"]), list(access["users"])
    named = [f"group {groups[0]}"] if len(groups) == 1 else []
    named = [f"groups {_and(groups)}"] if len(groups) > 1 else named
    who = " and by ".join([*named, *([_and(users)] if users else [])])
    if not who:
        return f"Only {owner} and the Hub's administrators can call {name}."
    return f"{name} can be called by {who}."


def _and(names: list[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), names[-1]])
