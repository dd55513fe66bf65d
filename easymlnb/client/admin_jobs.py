"""``client.admin``: schedules, and webhooks that tell about jobs."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from easymlnb.client import operations
from easymlnb.client.admin_method import Operations, operation
from easymlnb.client.encoding import FilePart, encode_arguments
from easymlnb.client.messages import Operation, Request, raise_for_error
from easymlnb.contract.spec import ServiceSpec

JSON = {"Content-Type": "application/json"}
ENDS = ("job.succeeded", "job.failed", "job.cancelled")
"""The events of a job's end."""


class JobRuleOperations(Operations):
    """Schedules and webhooks."""

    @operation
    def schedules(self, service: str = "") -> Operation[list[dict[str, Any]]]:
        """Return your schedules, newest first, or those of one service."""
        full = (yield from operations.full_name(self._specs, service)) if service else ""
        return (yield from operations.get_listed("schedules", {"service": full}, "schedules"))

    @operation
    def schedule(self, id: str) -> Operation[dict[str, Any]]:
        """Return a schedule with its inputs."""
        return dict((yield from operations.get(_path("schedules", id))))

    @operation
    def create_schedule(
        self,
        name: str,
        cron: str,
        *,
        zone: str = "UTC",
        inputs: Mapping[str, Any] | None = None,
        overlap: str = "skip",
        lane: str = "",
        attempts: int = 1,
        timeout: float = 0.0,
        paused: bool = False,
    ) -> Operation[dict[str, Any]]:
        """Call a service at times of a cron expression, each time as a job; return the schedule.

        Parameters
        ----------
        name : str
        cron : str
            Minute, hour, day of the month, month and day of the week, such as ``"0 6 * * 1-5"``.
        zone : str, default "UTC"
            A time zone, such as ``"Europe/Berlin"``.
        inputs : mapping, optional
            The parameters of each call.
        overlap : {"skip", "queue"}, default "skip"
            What happens at a time at which the last job has not ended.
        lane, attempts, timeout
            As of a submitted job; ``timeout`` in seconds, 0 for the server's maximum.
        paused : bool, default False
            Create it without starting it.
        """
        spec = yield from operations.spec(self._specs, name)
        body = {
            "service": spec.name,
            "cron": cron,
            "zone": zone,
            "inputs": _as_json(inputs or {}, spec),
            "overlap": overlap,
            "lane": lane,
            "attempts": attempts,
            "timeout": timeout,
            "paused": paused,
        }
        return (yield from _send("POST", "schedules", body))

    @operation
    def change_schedule(self, id: str, changes: Mapping[str, Any]) -> Operation[dict[str, Any]]:
        """Change a schedule, and return it.

        ``changes`` are options of ``create_schedule``, such as ``{"cron": "0 7 * * *"}``.
        """
        body = dict(changes)
        if "inputs" in body:
            found = yield from operations.get(_path("schedules", id))
            spec = yield from operations.spec(self._specs, found["service"])
            body["inputs"] = _as_json(body["inputs"], spec)
        return (yield from _send("PATCH", _path("schedules", id), body))

    @operation
    def pause_schedule(self, id: str, *, paused: bool = True) -> Operation[dict[str, Any]]:
        """Have a schedule make no jobs, or resume it if ``paused`` is false."""
        return (yield from _send("POST", _path("schedules", id, "pause" if paused else "resume")))

    @operation
    def run_schedule(self, id: str) -> Operation[dict[str, Any]]:
        """Make a job of a schedule now, and return its ``id``, ``state`` and URLs."""
        return (yield from _send("POST", _path("schedules", id, "run")))

    @operation
    def remove_schedule(self, id: str) -> Operation[None]:
        """Remove a schedule; its jobs stay."""
        raise_for_error((yield Request("DELETE", _path("schedules", id))))

    @operation
    def webhooks(self) -> Operation[list[dict[str, Any]]]:
        """Return your webhooks, newest first."""
        return operations.get_listed("webhooks", {}, "webhooks")

    @operation
    def create_webhook(
        self, url: str, *, events: Iterable[str] = ENDS, service: str = ""
    ) -> Operation[dict[str, Any]]:
        """Have a URL called, or mail sent, when your jobs end.

        Parameters
        ----------
        url : str
            ``"https://..."`` or ``"mailto:ann@example.org"``; the server's administrator allows
            hosts and domains.
        events : iterable of str, optional
            Any of ``"job.succeeded"``, ``"job.failed"``, ``"job.cancelled"`` and
            ``"job.preempted"``.
        service : str, optional
            Only jobs of this service.

        Returns
        -------
        dict
            The webhook, with the ``secret`` that signs its messages, which is shown only now.
        """
        full = (yield from operations.full_name(self._specs, service)) if service else ""
        body = {"url": url, "events": list(events), "service": full}
        return (yield from _send("POST", "webhooks", body))

    @operation
    def change_webhook(self, id: str, changes: Mapping[str, Any]) -> Operation[dict[str, Any]]:
        """Change the ``url`` or the ``events`` of a webhook, or whether it is ``enabled``."""
        return (yield from _send("PATCH", _path("webhooks", id), changes))

    @operation
    def rotate_webhook(self, id: str) -> Operation[dict[str, Any]]:
        """Give a webhook a new ``secret``, and return it; the former one signs for a day more."""
        return (yield from _send("POST", _path("webhooks", id, "rotate")))

    @operation
    def test_webhook(self, id: str) -> Operation[dict[str, Any]]:
        """Send a test to a webhook, and return the delivery."""
        return (yield from _send("POST", _path("webhooks", id, "test")))

    @operation
    def remove_webhook(self, id: str) -> Operation[None]:
        """Remove a webhook with its deliveries."""
        raise_for_error((yield Request("DELETE", _path("webhooks", id))))

    @operation
    def deliveries(
        self, *, job: str = "", webhook: str = "", state: str = "", limit: int = 50
    ) -> Operation[list[dict[str, Any]]]:
        """Return what was sent to your webhooks, newest first.

        ``state`` is ``"pending"``, ``"delivered"`` or ``"failed"``.
        """
        asked = {"job": job, "webhook": webhook, "state": state, "limit": limit}
        return operations.get_listed("deliveries", asked, "deliveries")

    @operation
    def retry_delivery(self, id: str) -> Operation[dict[str, Any]]:
        """Have a delivery that did not arrive tried now, and return it."""
        return (yield from _send("POST", _path("deliveries", id, "retry")))


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _send(
    method: str, path: str, body: Mapping[str, Any] | None = None
) -> Operation[dict[str, Any]]:
    content = None if body is None else json.dumps(body).encode()
    request = Request(method, path, headers={} if body is None else JSON, content=content)
    return dict(raise_for_error((yield request)).json())


def _as_json(values: Mapping[str, Any], spec: ServiceSpec) -> dict[str, Any]:
    """Return the parameters of a call as JSON, with files in it."""
    encoded = encode_arguments(values, spec.input)
    return {
        name: value.inline() if isinstance(value, FilePart) else value
        for name, value in encoded.items()
    }
