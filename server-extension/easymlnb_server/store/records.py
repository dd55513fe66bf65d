"""Records that the store returns."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import Access


class State(StrEnum):
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
    state: State
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
    """A version of a service. ``current``: it gets new calls.

    ``owner`` and ``access`` are the service's and can change.
    """

    service: str
    number: int
    bundle: str
    spec: ServiceSpec
    created: float
    current: bool
    owner: str
    access: Access
