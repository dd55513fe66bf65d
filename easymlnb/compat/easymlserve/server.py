"""The class that deploys a service."""

import warnings
from collections.abc import Mapping
from typing import Any

from easymlnb.compat.easymlserve import registration
from easymlnb.compat.easymlserve.functions import service_function
from easymlnb.compat.easymlserve.service import EasyMLService, calling_method
from easymlnb.contract.errors import DefinitionError
from easymlnb.services.service_function import ServiceFunction

PORT = 8000
"""uvicorn's default port."""


class EasyMLServer:
    """Deploys a service on the server of this notebook.

    Parameters
    ----------
    service : EasyMLService
        The service.
    api_keys : optional
        Ignored with a warning: the server checks tokens and API keys of its own.
    uvicorn_args : dict, optional
        Ignored, except that a user interface finds the service by ``port``.

    Attributes
    ----------
    function : ServiceFunction or None
        The deployed service, with ``publish()``, ``share()`` and the like.
    """

    def __init__(
        self,
        service: EasyMLService,
        api_keys: Any = None,
        uvicorn_args: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(service, EasyMLService):
            raise DefinitionError(
                f"EasyMLServer needs an instance of an EasyMLService, not {service!r}. Write "
                "EasyMLServer(MyService())."
            )
        self._origin = registration.origin_of(type(service))
        self.service = service
        self.api_keys = api_keys
        self.uvicorn_args = dict(uvicorn_args or {})
        self.function: ServiceFunction[..., Any] | None = None
        if api_keys is not None:
            warnings.warn(
                "api_keys are ignored: callers send a token of the server or an API key, which "
                "'easymlnb keys create' makes.",
                stacklevel=2,
            )

    def deploy(self, **options: Any) -> None:
        """Make the service callable, and return at once.

        ``options`` are those of ``ml.service``, such as ``timeout`` or ``workers``.
        """
        origin, given = self._origin, self.service.route_args
        name = options.pop("name", None) or registration.as_name(str(given.get("name") or ""))
        name = name or registration.default_name(origin, "Service")
        function = service_function(calling_method(self.service), name, given)
        about = {
            "title": given.get("summary"),
            "description": given.get("description"),
            "tags": [str(tag) for tag in given.get("tags") or ()],
        }
        self.function = registration.register(function, {"name": name, **about, **options}, origin)
        registration.deployed(name, origin, self.uvicorn_args.get("port", PORT))
