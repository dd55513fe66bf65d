"""What a process does to keep its secrets from others of the same account."""

import ctypes
import sys

PR_SET_DUMPABLE = 4


def hide() -> bool:
    """Keep other processes of this account from reading this one's memory and environment.

    It writes no core files either from then on. Programs that it starts are not affected. Returns
    whether the system can do that: Linux can. Processes of root read everything all the same.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
