"""The base classes of user interfaces."""

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

from easymlnb.compat.easymlserve import registration
from easymlnb.compat.easymlserve.ui.functions import interface_function
from easymlnb.compat.easymlserve.ui.type import BaseType
from easymlnb.contract.errors import DefinitionError, EasyMLNBError
from easymlnb.services.service_function import ServiceFunction

PORT = 8080
"""The port at which EasyMLServe's interfaces look for their service by default."""


class BaseEasyMLUI:
    """Base class of a user interface: a form, and a service of its own.

    Parameters
    ----------
    name : str
        Title of the interface.
    input_schema : mapping of str to BaseType
        The inputs: parameters of ``prepare_request``.
    output_schema : iterable of BaseType
        The results of ``process_response``.
    rest_api_port : int, default 8080
        Finds a service that was deployed with this port, if none is in the same folder.
    rest_api_host, rest_api_protocol : str
        Ignored.
    service : str, optional
        Name of the service to call. Default: a service of this notebook.

    Attributes
    ----------
    function : ServiceFunction or None
        The interface as a service after ``run``, with ``publish()``, ``share()`` and the like.
    """

    def __init__(
        self,
        name: str,
        input_schema: Mapping[str, BaseType],
        output_schema: BaseType | Iterable[BaseType],
        rest_api_host: str = "127.0.0.1",
        rest_api_port: int = PORT,
        rest_api_protocol: str = "http",
        service: str = "",
        **kwargs: Any,
    ) -> None:
        # Now, because only `run` knows the file of a class that it runs.
        self._origin = registration.origin_of(type(self))
        self.name = name
        self.input_schema = dict(input_schema)
        outputs = [output_schema] if isinstance(output_schema, BaseType) else output_schema
        self.output_schema = list(outputs)
        self.rest_api_host = rest_api_host
        self.rest_api_port = rest_api_port
        self.rest_api_protocol = rest_api_protocol
        self.service = service
        self.function: ServiceFunction[..., Any] | None = None
        for one in (*self.input_schema.values(), *self.output_schema):
            if not isinstance(one, BaseType):
                raise DefinitionError(
                    f"The inputs and outputs of {type(self).__name__} must be UI types such as "
                    f"Text() or ImageFile(), not {one!r}."
                )

    def prepare_request(self, **values: Any) -> Any:
        """Return the request for the service; the default sends the values as they are."""
        return values

    def process_response(self, request: Any, response: Any) -> Any:
        """Return the results to show, one for each output.

        The default takes them from the response by name, else by position.
        """
        named = dict(response) if isinstance(response, Mapping) else {}
        if len(self.output_schema) == 1:
            return self._named(self.output_schema[0], named, response)
        values = [*named.values(), *[None] * len(self.output_schema)]
        return [self._named(*one) for one in zip(self.output_schema, repeat(named), values)]

    def _named(self, output: BaseType, named: Mapping[str, Any], default: Any) -> Any:
        """Return the result under the name of the same input, or under that of the output."""
        same = [key for key, one in self.input_schema.items() if one is output]
        return next((named[key] for key in (*same, output.name) if key in named), default)

    def call_process_api(self, request: Any) -> Any:
        """Call the service with JSON values and return the JSON values of its result.

        Raises
        ------
        CallerError
            The service refused the request.
        EasyMLNBError
            There is no service to call.
        """
        name = self.service or registration.find(self._origin.folder, self.rest_api_port)
        if name is None:
            raise EasyMLNBError(
                f"{type(self).__name__} has no service to call: none is deployed in this notebook. "
                "Deploy one before, or name one: service='...'."
            )
        return registration.call(name, request)

    def clicked(self, **values: Any) -> Any:
        """Run the interface on the values of its inputs and return its results."""
        request = self.prepare_request(**values)
        response = request if self._only_shows(request) else self.call_process_api(request)
        return self.process_response(request, response)

    def _only_shows(self, request: Any) -> bool:
        """Return whether no service takes the values, as in a gallery of UI types."""
        kind = type(self)
        if kind.prepare_request is not BaseEasyMLUI.prepare_request or self.service:
            return False
        name = registration.find(self._origin.folder, self.rest_api_port)
        return name is None or not registration.accepts(name, request)

    def invoke(self, values: dict[str, Any]) -> Any:
        """Call ``clicked`` as the form does."""
        return self.clicked(**values)

    def run(self, **options: Any) -> None:
        """Show the form, make the interface a service, and return at once.

        ``options`` are those of ``ml.service``, such as ``timeout`` or ``public``.
        """
        origin = self._origin
        title, name = str(self.name or ""), options.pop("name", None)
        if name is None:
            name = registration.default_name(origin, "UI", title)
            name += "_ui" if origin.folder else ""
        self.function = registration.register(
            interface_function(self, name),
            {"name": name, "title": title or None, **options},
            origin,
        )


class GradioEasyMLUI(BaseEasyMLUI):
    """A user interface; the arguments for Gradio are ignored."""

    def __init__(
        self,
        gradio_interface_args: Mapping[str, Any] | None = None,
        gradio_launch_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gradio_interface_args = dict(gradio_interface_args or {})
        self.gradio_launch_args = dict(gradio_launch_args or {})

    def clicked(self, *args: Any, **values: Any) -> Any:
        """Run the interface on the values of its inputs, in their order or by name."""
        named = dict(zip(self.input_schema, args, strict=False))
        return super().clicked(**named, **values)

    def invoke(self, values: dict[str, Any]) -> Any:
        return self.clicked(*(values[key] for key in self.input_schema))


class QtEasyMLUI(BaseEasyMLUI):
    """A user interface; the size of its window is ignored."""

    def __init__(self, width: int = 1024, height: int = 768, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.height = height
