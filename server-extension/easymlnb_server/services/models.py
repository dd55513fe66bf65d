"""Published services and their versions."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.identity.access import PRIVATE, Access
from easymlnb_server.traffic.models import Shadow
from easymlnb_server.traffic.policy import TrafficPolicy
from easymlnb_server.traffic.rules import find_version
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
class Target:
    """What answers a call.

    Attributes
    ----------
    spec
        The service.
    dispatcher
        Queues the calls.
    version
        A number, or ``"live"``.
    kernel
        The id of the author's kernel if the service is live, else empty.
    shadow
        The version that gets copies of some calls.
    uniform
        Whether any version that answers calls accepts the bodies that this one accepts.
    """

    spec: ServiceSpec
    dispatcher: Dispatcher
    version: str
    kernel: str = ""
    shadow: Shadow | None = None
    uniform: bool = True

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True)
class SleepingVersion:
    """A version of a published service that has no deployment, as it gets no calls."""

    bundle: str


@dataclass(frozen=True, slots=True)
class PublishedService:
    """A published service: its versions by number, their traffic, and who may use it.

    Attributes
    ----------
    versions
        Those that have a deployment: with traffic, or pinned by a caller.
    traffic
        Chooses among them.
    sleeping
        The other versions; a call that pins one wakes it.
    targets
        What a call gets that a version answers, by number.
    """

    versions: Mapping[int, VersionEntry]
    traffic: TrafficPolicy
    owner: str = ""
    access: Access = PRIVATE
    sleeping: Mapping[int, SleepingVersion] = field(default_factory=dict)
    targets: Mapping[int, Target] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        traffic = self.traffic.traffic
        answering = [one.spec for n, one in self.versions.items() if n in traffic.weights]
        uniform = all(_is_alike(answering[0], spec) for spec in answering[1:])
        targets = {
            number: Target(
                entry.spec,
                entry.deployment.dispatcher,
                str(number),
                shadow=traffic.shadow,
                uniform=uniform,
            )
            for number, entry in self.versions.items()
        }
        object.__setattr__(self, "targets", targets)

    @property
    def current(self) -> VersionEntry:
        """The version that describes the service: the one with the most traffic."""
        return self.versions[self.traffic.primary]

    @property
    def numbers(self) -> set[int]:
        """The numbers of all versions."""
        return {*self.versions, *self.sleeping}

    def find(self, asked: str) -> int:
        """Return the number of a version by its number or alias; raises ``VersionNotFound``."""
        return find_version(asked, self.traffic.traffic.aliases, self.numbers)


def _is_alike(spec: ServiceSpec, other: ServiceSpec) -> bool:
    """Return whether two versions accept the same bodies, and both stream or neither does."""
    own, theirs = (spec.stream, spec.max_body), (other.stream, other.max_body)
    return own == theirs and spec.input == other.input
