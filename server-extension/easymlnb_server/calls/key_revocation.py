"""Stop running calls whose API key has expired or may no longer call their service.

A revoked key stops its calls at once; this finds the rest.
"""

import logging

from easymlnb.contract.errors import EasyMLNBError, Forbidden
from easymlnb_server.calls.in_flight import KEY_REVOKED, InFlight
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.api_keys.keys import ApiKeys
from easymlnb_server.services.registry import ServiceRegistry

log = logging.getLogger("easymlnb.keys")


class KeyRevoker:
    """Checks the running calls that were made with API keys."""

    def __init__(self, keys: ApiKeys, in_flight: InFlight, services: ServiceRegistry) -> None:
        self._keys = keys
        self._in_flight = in_flight
        self._services = services

    async def check(self) -> None:
        """Check all running calls once."""
        for call, grant in self._in_flight.with_keys():
            if not await self._may_call(grant.id, call.target.name):
                call.stop(Forbidden(KEY_REVOKED))

    async def _may_call(self, id: str, service: str) -> bool:
        key = self._keys.get(id)
        if key is None or not self._keys.is_valid(id):
            return False
        try:
            caller = await self._keys.caller(key)
        except EasyMLNBError as error:
            # Users that cannot be looked up keep their access while the Hub is unavailable.
            log.warning("Could not check whether an API key is still valid: %s", error)
            return True
        # A call of a service that is being removed may finish.
        if not self._services.is_published(service):
            return True
        return caller is not None and self._services.allows(caller, service, Action.CALL)
