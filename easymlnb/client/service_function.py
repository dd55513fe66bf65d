"""A service as a Python function, for both clients."""

from collections.abc import Callable
from typing import Any, Protocol, cast

from easymlnb.client.operations import CallOptions
from easymlnb.client.signatures import docstring, signature
from easymlnb.client.sse import OnProgress
from easymlnb.contract.errors import ServiceNotFound
from easymlnb.contract.spec import NAME, ServiceSpec


class RemoteService(Protocol):
    """A service to call like a function; ``help()`` tells its parameters."""

    __name__: str

    def __call__(self, *given: Any, **values: Any) -> Any: ...

    def options(
        self,
        *,
        timeout: float | None = None,
        progress: OnProgress | None = None,
        accept: str = "",
        live: bool = False,
        priority: str = "",
        idempotency_key: str = "",
    ) -> "RemoteService":
        """Return the same service called in another way, see ``Options``."""


class NoSuchService(ServiceNotFound, AttributeError):
    """An attribute was asked for that no service has for a name."""


def as_function(
    name: str,
    spec: ServiceSpec | None,
    call: Callable[[tuple[Any, ...], dict[str, Any], CallOptions], Any],
    how: CallOptions,
) -> RemoteService:
    """Return a real function, because ``help()`` shows the class of anything else."""

    def service(*given: Any, **values: Any) -> Any:
        return call(given, values, how)

    def options(**changes: Any) -> RemoteService:
        return as_function(name, spec, call, CallOptions(**changes))

    made: Any = service
    made.__name__ = made.__qualname__ = name
    made.__module__ = "easymlnb.client"
    made.options = options
    made.__doc__ = "A service. Its description is available after the first call."
    if spec is not None:
        made.__doc__ = docstring(spec)
        made.__signature__ = signature(spec)
    return cast(RemoteService, made)


def may_be_service(name: str) -> bool:
    """Say whether an attribute can be a service; notebooks and editors probe for many others."""
    return bool(NAME.match(name))
