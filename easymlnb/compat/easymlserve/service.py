"""The base class of services."""

from collections.abc import Callable
from typing import Any


class EasyMLService:
    """Base class of a service: ``load_model`` runs once, ``process`` for each call.

    Parameters
    ----------
    route_args : dict, optional
        ``name``, ``summary``, ``description``, ``tags`` and ``response_model`` are used, as FastAPI
        does; others are ignored.
    """

    def __init__(self, route_args: dict[str, Any] | None = None) -> None:
        self.route_args = dict(route_args or {})
        self.load_model()

    def load_model(self) -> None:
        """Load what the calls need; the default does nothing."""

    def api_call(self, **values: Any) -> Any:
        """Answer a call, in classes that do not define ``process``."""
        raise NotImplementedError(f"{type(self).__name__} must define the method 'process'.")

    process: Callable[..., Any]
    """The method of a subclass that answers a call."""


def calling_method(service: EasyMLService) -> Callable[..., Any]:
    """Return the method that answers calls: ``process``, or ``api_call`` without it."""
    method: Callable[..., Any] = getattr(service, "process", service.api_call)
    return method
