"""Why calls failed while workers were killed: what was known of the workers at that time."""

import time
from dataclasses import dataclass, field

LINE = 5.0
"""Seconds for the line to shorten once all workers are back, besides twice what they were away."""

WAITED = ("busy", "not_ready")
"""Codes of calls for which there was no place, or no worker."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A call that failed: when it ended, and how long it took, in seconds of the run."""

    at: float
    seconds: float
    name: str
    code: str
    message: str


@dataclass
class Watch:
    """What happened to the workers, in seconds since the run began."""

    wanted: int
    began: float = field(default_factory=time.monotonic)
    kills: list[float] = field(default_factory=list)
    away: list[list[float]] = field(default_factory=list)
    """From when to when there were fewer workers than wanted; the last may still last."""
    late: list[tuple[float, float]] = field(default_factory=list)
    """When this process itself got to run later than it asked for, and by how much."""

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def saw(self, workers: int) -> None:
        """Note how many workers take calls now."""
        now = self.now
        if self.away and self.away[-1][1] == float("inf"):
            if workers >= self.wanted:
                self.away[-1][1] = now
        elif workers < self.wanted:
            self.away.append([now, float("inf")])

    def woke(self, late: float) -> None:
        """Note by how much a sleep of this process was too long."""
        self.late.append((self.now, late))

    def explains(self, bad: Bad) -> bool:
        """Say whether a killed worker is why this call failed."""
        began = bad.at - bad.seconds
        if bad.code == "worker_lost":
            return any(began - 1.0 <= kill <= bad.at for kill in self.kills)
        if bad.code not in WAITED:
            return False
        return any(
            begin - 1.0 <= bad.at and began <= end + 2 * (end - begin) + LINE
            for begin, end in (*self.away, *((kill, kill + 1.0) for kill in self.kills))
        )

    def told(self, bad: Bad) -> str:
        """Return all that may be of use to find out why it failed."""
        began = bad.at - bad.seconds
        said = [f"{bad.at:.1f} s: {bad.name}: {bad.code} after {bad.seconds:.2f} s"]
        kills = [bad.at - kill for kill in self.kills if kill <= bad.at]
        said.append(f"{kills[-1]:.1f} s after a kill" if kills else "before any kill")
        away = [(begin, min(end, bad.at)) for begin, end in self.away if begin <= bad.at]
        if away:
            begin, end = away[-1]
            since = f"until {bad.at - end:.1f} s before" if end < bad.at else "still"
            said.append(f"a worker was away for {end - begin:.1f} s, {since}")
        late = max((by for at, by in self.late if began <= at <= bad.at + 1.0), default=0.0)
        said.append(f"this process was late by {late:.2f} s at most")
        return "; ".join(said) + f": {bad.message}"
