"""One subject's calls, compared with its limits. The time is passed in."""

from math import ceil

from msgspec import UNSET

from easymlnb.contract.errors import EasyMLNBError, LimitExceeded, TooLarge
from easymlnb_server.identity.limits import Limits


class Meter:
    """Counts the calls of a key, a user, a service or a visitor.

    Attributes
    ----------
    label
        The subject in messages, such as ``"this API key"``.
    limits
        Its limits.
    calls, seconds
        The calls of ``day``, and the seconds that they ran.
    running
        Calls that wait or run now.
    """

    __slots__ = (
        "_refilled", "_tokens", "calls", "day", "label", "last_used", "limits", "running",
        "seconds",
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

    def check(self, now: float, day: str, day_left: float, size: int) -> EasyMLNBError | None:
        """Return why a call is refused, if it is.

        Parameters
        ----------
        now
            Seconds of a monotonic clock.
        day, day_left
            The day, and the seconds until it ends.
        size
            Bytes of the call's body.
        """
        limits = self.limits
        self.last_used = now
        if day != self.day:
            self.day, self.calls, self.seconds = day, 0, 0.0
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
            wait = self._wait(now, limits.calls_per_second)
            if wait > 0:
                return self._exceeded("calls_per_second", limits.calls_per_second, wait)
        return None

    def enter(self) -> None:
        """Count a call that ``check`` accepted."""
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

    def _wait(self, now: float, rate: float) -> float:
        """Refill the bucket with the calls of a second; return the seconds to wait."""
        most = max(1.0, rate)
        self._tokens = min(most, self._tokens + (now - self._refilled) * rate)
        self._refilled = now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / rate

    def _exceeded(self, limit: str, value: float, seconds: float) -> LimitExceeded:
        return LimitExceeded(self.label, limit, value, max(1, ceil(seconds)))
