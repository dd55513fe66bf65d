"""Choices for the previous version while a new one starts."""

from easymlnb.contract.errors import BadRequest

AUTO = "auto"
"""Replace in place only where the former version's own workers have the room that is needed."""

IN_PLACE = "in_place"
"""End the former version's workers first; calls wait until the new version serves."""

WAIT = "wait"
"""Wait for room beside the former version, for as long as that takes."""

CHOICES = (AUTO, IN_PLACE, WAIT)


def check(replace: str) -> str:
    """Return ``replace`` if it is one of the ``CHOICES``; raises ``BadRequest``."""
    if replace not in CHOICES:
        raise BadRequest(f"Invalid replace={replace!r}. Use one of: {', '.join(CHOICES)}.")
    return replace
