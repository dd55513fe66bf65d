"""Records that the store returns: frozen, independent of the database."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import Access


class State(StrEnum):
    """Where a bundle is on its way from publishing to serving."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle that was accepted.

    ``names`` are the services that were asked for (none: all), ``provides`` those it brought,
    ``manifest`` is the bundle's own, ``file`` the zip and ``log`` the executed notebook in
    ``Store.files``. ``error`` is ``{"code", "message", "cell"?, "source"?, "traceback"?}`` of the
    last attempt that failed. Times are in seconds since 1970, UTC.
    """

    id: str
    owner: str
    names: tuple[str, ...]
    provides: tuple[str, ...]
    manifest: dict[str, Any]
    file: str
    state: State
    error: dict[str, Any] | None
    log: str | None
    created: float
    changed: float


@dataclass(frozen=True, slots=True)
class Added:
    """What came of publishing a bundle. ``fresh`` says that it has to be started now."""

    bundle: StoredBundle
    fresh: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One number of a service; immutable but for ``current``: whether new calls go there.

    ``owner`` and ``access`` are the service's.
    """

    service: str
    number: int
    bundle: str
    spec: ServiceSpec
    created: float
    current: bool
    owner: str
    access: Access


@dataclass(frozen=True, slots=True)
class StoredService:
    """A published service with the version that serves."""

    name: str
    owner: str
    created: float
    current: Version
