"""Choices for the previous version while a new one starts."""

from easymlnb.contract.errors import BadRequest

AUTO = "auto"
"""Replace in place only if no other resources are free for the new version."""

IN_PLACE = "in_place"
"""Stop the previous version's workers first; calls wait until the new version is ready."""

WAIT = "wait"
"""Wait, without a limit, until both versions fit."""

CHOICES = (AUTO, IN_PLACE, WAIT)


def check(replace: str) -> str:
    """Return ``replace`` if it is one of ``CHOICES``, else raise ``BadRequest``."""
    if replace not in CHOICES:
        raise BadRequest(f"Invalid replace={replace!r}. Use one of: {', '.join(CHOICES)}.")
    return replace
