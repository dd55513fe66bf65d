"""Published services and their versions."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.identity.access import PRIVATE, Access
from easymlnb_server.traffic.policy import TrafficPolicy
from easymlnb_server.workers.deployment import Deployment

Deploy = Callable[[str, str, Callable[[], Awaitable[Bundle]]], Deployment]
"""Makes the deployment of a bundle from its id, its owner and what reads it."""


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """A version of a published service that can answer calls."""

    number: int
    bundle: str
    spec: ServiceSpec
    deployment: Deployment
    created: float = 0.0
    """When this version was published, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class PublishedService:
    """A published service: its versions by number, their traffic, and who may use it."""

    versions: Mapping[int, VersionEntry]
    traffic: TrafficPolicy
    owner: str = ""
    access: Access = PRIVATE

    @classmethod
    def of_version(
        cls, version: VersionEntry, owner: str = "", access: Access = PRIVATE
    ) -> "PublishedService":
        """Return a service with one version, which answers all calls."""
        return cls({version.number: version}, TrafficPolicy(version.number), owner, access)

    @property
    def current(self) -> VersionEntry:
        """The version that describes the service: the one with the most traffic."""
        return self.versions[self.traffic.primary]


@dataclass(frozen=True, slots=True)
class Target:
    """What answers a call.

    Attributes
    ----------
    spec
        The service.
    pool
        Queues the calls.
    version
        A number, or ``"live"``.
    kernel
        The id of the author's kernel if the service is live, else empty.
    """

    spec: ServiceSpec
    pool: Dispatcher
    version: str
    kernel: str = ""

    @property
    def name(self) -> str:
        return self.spec.name
