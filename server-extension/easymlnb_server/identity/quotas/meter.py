"""One subject's calls, compared with its limits. The time is passed in."""

from math import ceil, inf

from msgspec import UNSET, UnsetType

from easymlnb.contract.errors import EasyMLNBError, LimitExceeded, TooLarge
from easymlnb_server.identity.limits import Limits

INFINITE = inf
"""The limit where there is none."""


class Meter:
    """Counts the calls of a key, a user, a service or a visitor.

    Attributes
    ----------
    label
        The subject in messages, such as ``"this API key"``.
    limits, max_body
        Its limits, and that of bodies; infinite for none.
    calls, seconds
        The calls of ``day``, and the seconds that they ran.
    running
        Calls that wait or run now.
    """

    __slots__ = (
        "_calls_per_day", "_concurrent", "_rate", "_refilled", "_seconds_per_day", "_tokens",
        "calls", "day", "label", "last_used", "limits", "max_body", "running", "seconds",
    )  # fmt: skip

    def __init__(
        self, label: str, limits: Limits, day: str, calls: int = 0, seconds: float = 0.0
    ) -> None:
        self.label = label
        self.day = day
        self.calls = calls
        self.seconds = seconds
        self.running = 0
        self.last_used = 0.0
        self._refilled = float("-inf")
        self._tokens = 0.0
        self.limits = limits
        # As numbers, because each call is compared with them.
        self.max_body = _number(limits.max_body)
        self._calls_per_day = _number(limits.calls_per_day)
        self._seconds_per_day = _number(limits.compute_seconds_per_day)
        self._concurrent = _number(limits.concurrent)
        self._rate = _number(limits.calls_per_second)

    def admits(self, now: float, day: str, size: int) -> bool:
        """Return whether a call is within all limits.

        Parameters
        ----------
        now
            Seconds of a monotonic clock.
        day
            The day.
        size
            Bytes of the call's body.
        """
        self.last_used = now
        if day != self.day:
            self.day, self.calls, self.seconds = day, 0, 0.0
        rate = self._rate
        if rate is not INFINITE:
            self._refill(now, rate)
            if self._tokens < 1:
                return False
        return (
            size <= self.max_body
            and self.calls < self._calls_per_day
            and self.seconds < self._seconds_per_day
            and self.running < self._concurrent
        )

    def refusal(self, day_left: float, size: int) -> EasyMLNBError | None:
        """Return why ``admits`` has just refused a call; ``day_left`` are seconds."""
        limits = self.limits
        if limits.max_body is not UNSET and size > limits.max_body:
            return TooLarge(
                f"The body of {size:,} bytes is over the limit of {limits.max_body:,} bytes for "
                f"{self.label}."
            )
        if limits.calls_per_day is not UNSET and self.calls >= limits.calls_per_day:
            return self._exceeded("calls_per_day", limits.calls_per_day, day_left)
        if (
            limits.compute_seconds_per_day is not UNSET
            and self.seconds >= limits.compute_seconds_per_day
        ):
            return self._exceeded(
                "compute_seconds_per_day", limits.compute_seconds_per_day, day_left
            )
        if limits.concurrent is not UNSET and self.running >= limits.concurrent:
            return self._exceeded("concurrent", limits.concurrent, 1.0)
        if limits.calls_per_second is not UNSET:
            wait = (1 - self._tokens) / limits.calls_per_second
            if wait > 0:
                return self._exceeded("calls_per_second", limits.calls_per_second, wait)
        return None

    def enter(self) -> None:
        """Count a call that ``admits`` accepted."""
        self.calls += 1
        self.running += 1
        self._tokens -= 1

    def leave(self, seconds: float) -> None:
        """Note that a call ended, and ran for some seconds."""
        self.running -= 1
        self.seconds += seconds

    def charge(self, day: str, seconds: float) -> None:
        """Add the seconds of a run that ``leave`` does not know of."""
        if day != self.day:
            self.day, self.calls, self.seconds = day, 0, 0.0
        self.seconds += seconds

    def check_jobs(self, jobs: int) -> LimitExceeded | None:
        """Return why a job that ``enter`` counted is refused next to ``jobs`` unfinished others."""
        limit = self.limits.concurrent
        if limit is UNSET or self.running + jobs <= limit:
            return None
        return self._exceeded("concurrent", limit, 1.0)

    def refund(self) -> None:
        """Take back a call that was not accepted after all."""
        self.running -= 1
        self.calls -= 1
        self._tokens += 1

    def _refill(self, now: float, rate: float) -> None:
        """Refill the bucket, which holds the calls of a second."""
        tokens = self._tokens + (now - self._refilled) * rate
        most = rate if rate > 1.0 else 1.0
        self._tokens = tokens if tokens < most else most
        self._refilled = now

    def _exceeded(self, limit: str, value: float, seconds: float) -> LimitExceeded:
        return LimitExceeded(self.label, limit, value, max(1, ceil(seconds)))


def _number(limit: float | UnsetType) -> float:
    return INFINITE if isinstance(limit, UnsetType) else limit
