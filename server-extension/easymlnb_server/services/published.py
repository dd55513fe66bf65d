"""All published services that this process serves, and whether it serves them."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from easymlnb.contract.errors import EasyMLNBError, NotReady
from easymlnb.contract.quality import QualitySummary
from easymlnb_server.identity.access import Access
from easymlnb_server.services.models import PublishedService, VersionEntry


def _always() -> None:
    """Serve without asking anyone."""


class PublishedServices:
    """Published services by their full names.

    The publisher writes this table; everything else reads it. ``moved`` holds the new names of
    services that were transferred to another owner, by their old names. ``quality`` holds what the
    quality gate found in bundles.
    """

    def __init__(self) -> None:
        self.moved: dict[str, str] = {}
        self.quality: dict[str, QualitySummary] = {}
        self._services: dict[str, PublishedService] = {}
        self._reason: EasyMLNBError | None = NotReady(
            "The server is starting. Try again in a moment."
        )
        self._guard: Callable[[], None] = _always
        self.get = self._services.get
        """Return a service by its name, or ``None``."""

    def __contains__(self, name: str) -> bool:
        return name in self._services

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._services))

    @property
    def services(self) -> Mapping[str, PublishedService]:
        """All services by name, read-only."""
        return MappingProxyType(self._services)

    def versions(self) -> list[VersionEntry]:
        """Return the versions of all services that have a deployment."""
        return [
            version
            for service in tuple(self._services.values())
            for version in service.versions.values()
        ]

    def set(self, name: str, service: PublishedService) -> None:
        """Add or replace a service."""
        self._services[name] = service

    def set_access(self, name: str, access: Access) -> None:
        """Set who may use a service, if it is here."""
        service = self._services.get(name)
        if service is not None and service.access != access:
            self._services[name] = replace(service, access=access)

    def remove(self, name: str) -> None:
        """Remove a service, if it is here."""
        self._services.pop(name, None)

    def clear(self) -> None:
        """Remove all services."""
        self._services.clear()

    def open(self, guard: Callable[[], None] = _always) -> None:
        """Serve; ``guard`` raises ``NotReady`` while another process may serve."""
        self._reason, self._guard = None, guard

    def close(self, reason: EasyMLNBError) -> None:
        """Stop serving; ``check`` raises ``reason`` from now on."""
        self._reason = reason

    def check(self) -> None:
        """Raise why this process does not serve published services, if it does not."""
        if self._reason is not None:
            raise self._reason
        self._guard()

    @property
    def ready(self) -> bool:
        """Whether this process serves published services."""
        with contextlib.suppress(EasyMLNBError):
            self.check()
            return True
        return False
