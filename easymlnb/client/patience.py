"""Wait for a server that is away for a moment, such as one that is started again."""

import math
import time

from easymlnb.contract.errors import Draining, EasyMLNBError, NotReady, ServerUnreachable

PATIENCE = 60.0
"""Seconds for which a server may be away."""

PAUSE = 1.0
"""Seconds between two attempts to reach it."""

AWAY = (ServerUnreachable, NotReady, Draining)


class Patience:
    """Decides how long a server may be away; ``until`` is the latest end, in monotonic seconds."""

    def __init__(self, until: float = math.inf) -> None:
        self._until = until
        self._since: float | None = None

    def answered(self) -> None:
        """Note that the server is there."""
        self._since = None

    def pause(self, error: EasyMLNBError) -> float:
        """Return the seconds until the next attempt.

        Raises ``error`` if it is another one, or the server was away for too long.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if not isinstance(error, AWAY) or now >= min(self._until, self._since + PATIENCE):
            raise error
        return PAUSE
