"""``f.schedule("0 6 * * *")``: run the published version of a service at certain times."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from easymlnb.client import Client, hub
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound
from easymlnb.contract.options import named_options


@dataclass(frozen=True, slots=True, repr=False)
class ServiceSchedule:
    """A schedule of a service.

    description: the cron expression in words.
    upcoming: the next times, in seconds since 1970; empty while it is paused.
    """

    id: str
    service: str
    cron: str
    zone: str
    description: str
    overlap: str
    paused: bool
    upcoming: tuple[float, ...]
    url: str

    def __repr__(self) -> str:
        head = f"{self.service}: {self.description} ({self.cron}, {self.zone})"
        if not self.upcoming:
            return f"{head}. It is paused."
        following = time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(self.upcoming[0]))
        return f"{head}. Next: {following}."


@named_options
def schedule(
    service: str,
    cron: str,
    *,
    zone: str = "UTC",
    inputs: Mapping[str, Any] | None = None,
    overlap: str = "skip",
    lane: str = "",
    attempts: int = 1,
    timeout: float = 0.0,
    url: str | None = None,
    token: str | None = None,
) -> ServiceSchedule:
    """Create a schedule; the parameters are those of ``ServiceFunction.schedule``."""
    with Client(hub.publish_target(url, token)) as client:
        try:
            made = client.admin.create_schedule(
                service,
                cron,
                zone=zone,
                inputs=inputs,
                overlap=overlap,
                lane=lane,
                attempts=attempts,
                timeout=timeout,
            )
        except ServiceNotFound as error:
            raise EasyMLNBError(
                f"{service} is not published, and schedules run published versions. Publish it "
                f"first: {service}.publish()"
            ) from error
    same = ("id", "service", "cron", "zone", "description", "overlap", "paused")
    return ServiceSchedule(
        **{name: made[name] for name in same}, upcoming=tuple(made["upcoming"]), url=made["url"]
    )
