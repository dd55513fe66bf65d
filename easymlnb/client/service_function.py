"""A service as a Python function, for both clients."""

from typing import Any, Protocol, cast

from easymlnb.client.operations import CallOptions
from easymlnb.client.signatures import docstring, signature
from easymlnb.client.sse import OnProgress
from easymlnb.contract.errors import ServiceNotFound
from easymlnb.contract.spec import NAME, ServiceSpec

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments of a call."""


class RemoteService(Protocol):
    """A service to call like a function; ``help()`` shows its parameters."""

    __name__: str

    def __call__(self, *given: Any, **values: Any) -> Any: ...

    def raw(self, *given: Any, **values: Any) -> Any:
        """Call the service and return the response as it arrived, a ``RawResponse``.

        With ``progress`` it is always JSON. The async client returns an awaitable.
        """

    def options(
        self,
        *,
        timeout: float | str | None = None,
        progress: OnProgress | None = None,
        accept: str = "",
        live: bool = False,
        priority: str = "",
        idempotency_key: str = "",
    ) -> "RemoteService":
        """Return the service with options for its calls, see ``CallOptions``."""


class NoSuchService(ServiceNotFound, AttributeError):
    """The client has no such attribute, and the server no such service."""


class ServiceClient(Protocol):
    """What a client does for its services."""

    def _call(self, name: str, arguments: Arguments, options: CallOptions) -> Any: ...

    def _raw(self, name: str, arguments: Arguments, options: CallOptions) -> Any: ...


def as_function(
    client: ServiceClient, name: str, spec: ServiceSpec | None, how: CallOptions
) -> RemoteService:
    """Return a real function, because ``help()`` shows the class of anything else."""

    def service(*given: Any, **values: Any) -> Any:
        return client._call(name, (given, values), how)

    made: Any = service
    made.raw = lambda *given, **values: client._raw(name, (given, values), how)
    made.options = lambda **changes: as_function(client, name, spec, CallOptions(**changes))
    made.__name__ = made.__qualname__ = name
    made.__module__ = "easymlnb.client"
    made.__doc__ = "A service. Its description is available after the first call."
    if spec is not None:
        made.__doc__ = docstring(spec)
        made.__signature__ = signature(spec)
    return cast(RemoteService, made)


def may_be_service(name: str) -> bool:
    """Return whether an attribute can be a service; notebooks and editors try many others."""
    return bool(NAME.match(name))
