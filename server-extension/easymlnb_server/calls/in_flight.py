"""The calls that were accepted and not answered yet."""

from collections.abc import Iterator
from functools import partial
from typing import Protocol

from easymlnb.contract.errors import EasyMLNBError, Forbidden
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.identity.access import user_of_key
from easymlnb_server.identity.grants import KeyGrant
from easymlnb_server.identity.revocation import ACCESS_REVOKED, Opened
from easymlnb_server.services.models import Target


class RunningCall(Protocol):
    """A call whose caller waits; see ``Invocation``."""

    request: CallRequest
    target: Target
    handle: CallHandle | None

    def stop(self, error: EasyMLNBError) -> None:
        """End the call for its caller with an error."""


KEY_REVOKED = "The API key of this call was revoked or has expired."


class InFlight:
    """All calls whose callers wait, on every entry point."""

    def __init__(self) -> None:
        self._calls: set[RunningCall] = set()
        self.add = self._calls.add
        self.discard = self._calls.discard

    def __iter__(self) -> Iterator[RunningCall]:
        return iter(tuple(self._calls))

    def find(
        self, request_id: str, owner: str | None, service: str | None = None
    ) -> list[RunningCall]:
        """Return the calls with this request id.

        Parameters
        ----------
        request_id
            The id that the caller sent or got.
        owner
            Only calls with this key; ``None`` for everyone's.
        service
            Only calls of this service; ``None`` for all.
        """
        return [
            call
            for call in self
            if call.request.request_id == request_id
            and owner in (None, call.request.owner)
            and service in (None, call.request.service)
        ]

    def opened(self) -> list[Opened]:
        """Return all calls without an API key, for ``AccessRevoker``."""
        return [
            Opened(
                user_of_key(call.request.owner),
                call.target.name,
                partial(call.stop, Forbidden(ACCESS_REVOKED)),
            )
            for call in self
            if _key_of(call) is None
        ]

    def stop_key(self, id: str) -> None:
        """Stop the calls that were made with an API key."""
        for call in self:
            key = _key_of(call)
            if key is not None and key.id == id:
                call.stop(Forbidden(KEY_REVOKED))

    def with_keys(self) -> list[tuple["RunningCall", KeyGrant]]:
        """Return the calls that were made with API keys."""
        return [(call, key) for call in self if (key := _key_of(call)) is not None and key.id]

    def by_version(self) -> dict[tuple[str, str], list[CallHandle]]:
        """Return the calls of each service and version."""
        found: dict[tuple[str, str], list[CallHandle]] = {}
        for call in self:
            if call.handle is not None:
                key = (call.target.spec.name, call.target.version)
                found.setdefault(key, []).append(call.handle)
        return found


def _key_of(call: RunningCall) -> KeyGrant | None:
    caller = call.request.caller
    return caller.key if caller is not None else None
