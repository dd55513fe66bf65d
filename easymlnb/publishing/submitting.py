"""``f.submit(x=1)``: run the published version of a notebook's service as a job."""

from typing import Any

from easymlnb.client import Client, hub
from easymlnb.client.jobs import Job
from easymlnb.client.operations import CallOptions
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound


def submit(service: str, given: tuple[Any, ...], values: dict[str, Any]) -> Job:
    """Submit a job to the published version; raises ``EasyMLNBError`` if there is none."""
    client = Client(hub.publish_target(None, None))
    try:
        return client._submit(service, (given, values), CallOptions())
    except ServiceNotFound as error:
        client.close()
        raise EasyMLNBError(
            f"{service} is not published, and jobs run published versions. Publish it first: "
            f"{service}.publish()"
        ) from error
