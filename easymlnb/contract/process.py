"""Protect a process from other processes of the same user."""

import ctypes
import sys

PR_SET_DUMPABLE = 4


def hide() -> bool:
    """Prevent other processes of this user from reading this one's memory and environment.

    It also disables core dumps. Child processes are not affected, and root can still read
    everything. Returns whether the system supports it; only Linux does.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
