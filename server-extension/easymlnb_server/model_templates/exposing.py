"""Make a model a service of its own name, which the workers of its template answer."""

import asyncio
from typing import Any

import msgspec

from easymlnb.contract.errors import InternalError
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.publishing.traffic import TrafficManager


class Exposing:
    """Publishes and withdraws the services of models."""

    def __init__(self, publisher: Publisher, traffic: TrafficManager) -> None:
        self._publisher = publisher
        self._traffic = traffic

    async def expose(
        self, name: str, owner: str, bundle: str, template: str, described: dict[str, Any]
    ) -> None:
        """Publish the service that a template describes for a model."""
        try:
            spec = ServiceSpec.from_dict({**described, "name": name, "template": template})
        except msgspec.ValidationError as error:
            raise InternalError from error
        store = self._publisher.store
        made = await asyncio.to_thread(lambda: store.services.expose(bundle, spec, owner=owner))
        await self._traffic.wake_version(name, made.number)

    async def withdraw(self, name: str) -> None:
        """Remove the service of a model, if there is one."""
        if name in self._publisher.published:
            await self._publisher.remove(name)
