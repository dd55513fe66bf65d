"""Records that the store returns."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import Access
from easymlnb_server.traffic.models import Traffic


class BundleState(StrEnum):
    """Progress of a bundle from publishing to serving."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle that was accepted. Times are seconds since 1970, UTC.

    - ``names``: the services to publish; empty for all
    - ``provides``: the services that were published from it
    - ``file``, ``log``: names of the zip and of the executed notebook in ``Store.files``
    - ``error``: ``{"code", "message", "cell"?, "source"?, "traceback"?}`` of the last failure
    """

    id: str
    owner: str
    names: tuple[str, ...]
    provides: tuple[str, ...]
    manifest: dict[str, Any]
    file: str
    state: BundleState
    error: dict[str, Any] | None
    log: str | None
    created: float
    changed: float


@dataclass(frozen=True, slots=True)
class Added:
    """A bundle that was added. ``is_new``: it has to be started now."""

    bundle: StoredBundle
    is_new: bool


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a service.

    - ``current``: it describes the service, as it gets most of the calls
    - ``weight``, ``aliases``: its percentage of the calls, and its other names
    - ``owner``, ``access``: those of the service, which can change
    """

    service: str
    number: int
    bundle: str
    spec: ServiceSpec
    created: float
    current: bool
    owner: str
    access: Access
    weight: float = 0.0
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version of a service without its spec, which may be large."""

    number: int
    bundle: str
    created: float


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """A service with all its versions and their traffic.

    ``revision`` grows with each change of the traffic.
    """

    name: str
    owner: str
    access: Access
    traffic: Traffic
    revision: int
    versions: tuple[VersionRow, ...]

    @property
    def numbers(self) -> set[int]:
        return {version.number for version in self.versions}

    def version(self, number: int) -> VersionRow:
        return next(version for version in self.versions if version.number == number)
