"""A published service and the version that answers it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import PRIVATE, Access
from easymlnb_server.workers.deployment import Deployment

Deploy = Callable[[str, str, Callable[[], Awaitable[Bundle]]], Deployment]
"""Makes the deployment of a bundle from its id, its owner and what reads it."""


@dataclass(frozen=True, slots=True)
class PublishedService:
    """The version that answers a published service."""

    version: int
    bundle: str
    spec: ServiceSpec
    deployment: Deployment
    created: float = 0.0
    """When this version was published, in seconds since the epoch."""
    owner: str = ""
    access: Access = PRIVATE

    @property
    def name(self) -> str:
        return self.spec.name
