"""``f.submit(x=1)``, ``f.batch(table)`` and ``f.sweep(grid)``: jobs of the published version."""

from collections.abc import Callable
from typing import Any

from easymlnb.client import Client, hub
from easymlnb.client.jobs import Job
from easymlnb.client.operations import CallOptions
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound


def submit(service: str, given: tuple[Any, ...], values: dict[str, Any]) -> Job:
    """Submit a job to the published version; raises ``EasyMLNBError`` if there is none."""
    return _with_client(service, lambda one: one._submit(service, (given, values), CallOptions()))


def batch(service: str, table: Any, **options: Any) -> Job:
    """Run the published version on each row of a table; raises ``EasyMLNBError``."""
    return _with_client(service, lambda one: one[service].batch(table, **options))


def sweep(service: str, grid: Any = None, **options: Any) -> Job:
    """Run the published version with many parameters; raises ``EasyMLNBError``."""
    return _with_client(service, lambda one: one[service].sweep(grid, **options))


def _with_client(service: str, work: Callable[[Client], Job]) -> Job:
    client = Client(hub.publish_target(None, None))
    try:
        return work(client)
    except ServiceNotFound as error:
        client.close()
        raise EasyMLNBError(
            f"{service} is not published, and jobs run published versions. Publish it first: "
            f"{service}.publish()"
        ) from error
