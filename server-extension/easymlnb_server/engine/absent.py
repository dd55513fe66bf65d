"""What stands in place of a deployment that another process runs."""

from collections import Counter

from easymlnb.contract.errors import NotReady
from easymlnb_server.engine.breaker import Breaker
from easymlnb_server.engine.pool import Pool

RETRY = 2
"""Seconds after which a caller may try again who came while nobody could serve."""


def away() -> NotReady:
    """Return what is said while nobody is known to serve."""
    return NotReady(
        "This service is moving from one server process to another. Try again in a moment.",
        details={"retry_after": RETRY},
    )


class Absent:
    """Tells of the workers of another process; ``holder`` is that one's name.

    ``state`` is what the holder last said of them. Nothing runs here: the pool takes no calls.
    """

    def __init__(self, bundle: str, holder: str, state: str) -> None:
        self.bundle = bundle
        self.holder = holder
        self.state = state
        self.breaker = Breaker()
        self.restarts: Counter[str] = Counter()
        self.pool = Pool(0)
        self.pool.close(away())

    @property
    def reason(self) -> str:
        return ""

    @property
    def wanted(self) -> int:
        return 0

    def memory(self) -> int:
        return 0
