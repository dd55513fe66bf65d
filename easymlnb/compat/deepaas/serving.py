"""``serve``: a module's methods become services."""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from marshmallow import Schema, missing
from pydantic import WithJsonSchema

from easymlnb.compat.deepaas import fields, responses
from easymlnb.compat.deepaas.arguments import ACCEPT, Arguments
from easymlnb.compat.deepaas.module import Module, load, no_description
from easymlnb.contract.deepaas import (
    MEDIA_TYPE,
    PREDICT,
    TRAIN,
    DeepaasArgument,
    DeepaasMethod,
    DeepaasModel,
    DeepaasRequest,
    Method,
)
from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.options import check
from easymlnb.services.decorator import attach, options_of_service
from easymlnb.services.service_function import ServiceFunction
from easymlnb.types.media_types import JSON
from easymlnb.types.uploaded_files import Data

if TYPE_CHECKING:
    from easymlnb.publishing.publish import Published

REQUEST = "deepaas/request"
"""The argument of a call by DEEPaaS's routes; no parameter in Python has such a name."""

Options = dict[str, Any]


class DeepaasServices:
    """The services of a module.

    Attributes
    ----------
    name : str
        The name of the entry point.
    predict, train : ServiceFunction or None
        The services, which are functions too; ``None`` if a method is off or missing.
    """

    def __init__(self, name: str, services: Mapping[Method, ServiceFunction[..., Any]]) -> None:
        self.name = name
        self.predict = services.get(PREDICT)
        self.train = services.get(TRAIN)

    def publish(self, **options: Any) -> "list[Published]":
        """Publish the services; ``options`` are those of ``ServiceFunction.publish``."""
        return [one.publish(**options) for one in (self.predict, self.train) if one is not None]

    def __repr__(self) -> str:
        found = [one.service.name for one in (self.predict, self.train) if one is not None]
        return f"<DEEPaaS model {self.name!r}: {', '.join(found)}>"


def serve(
    entry_point: str,
    *,
    name: str | None = None,
    predict: bool = True,
    train: bool = True,
    train_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> DeepaasServices:
    """Serve an installed DEEPaaS module: its predictions as a service, its training as jobs.

    Parameters
    ----------
    entry_point : str
        Name in the entry-point group ``deepaas.v2.model``.
    name : str, optional
        Name of the service for predictions; that for training ends in ``_train``. Default: the
        name of the entry point.
    predict, train : bool, default True
        Whether the method is offered.
    train_options : mapping, optional
        Options of ``ml.service`` for the training, such as ``gpu``.
    **options
        Options of ``ml.service`` for the predictions.

    Returns
    -------
    DeepaasServices
        ``predict`` and ``train`` are services and functions.

    Raises
    ------
    DefinitionError
        No such module is installed, or an argument cannot be a parameter.
    """
    own = options_of_service()
    check("deepaas.serve", options, own)
    check("deepaas.serve", train_options or {}, own)
    module = load(entry_point)
    base = name or re.sub(r"\W", "_", entry_point).lower()
    offered: dict[Method, str] = {}
    if predict and PREDICT in module.arguments:
        offered[PREDICT] = base
    if train and TRAIN in module.arguments:
        offered[TRAIN] = f"{base}_train"
    if not offered:
        raise DefinitionError(f"{entry_point!r} would have no service: it offers no method.")
    module.warm()
    model = _model(module, offered)
    given = {PREDICT: dict(options), TRAIN: {"on_timeout": "job", **(train_options or {})}}
    services = {
        method: _service(MethodCalls(module, method), service, model, given[method])
        for method, service in offered.items()
    }
    return DeepaasServices(entry_point, services)


class MethodCalls:
    """Runs one method, for calls by our routes and by DEEPaaS's; it is their ``WireForm``."""

    def __init__(self, module: Module, method: Method) -> None:
        self.module = module
        self.method = method
        self.arguments: Arguments = module.arguments[method]

    def call(self, **values: Any) -> Any:
        """Run the method with the parameters of the service."""
        loaded = self.arguments.from_values(values)
        return responses.own_result(loaded, self.module.run(self.method, loaded))

    def run(self, **values: Any) -> Any:
        """Answer a call of the service."""
        if REQUEST not in values:
            return self.call(**values)
        request, loaded = values[REQUEST]
        if request.check:
            return JSON, responses.as_json(self.arguments.as_json(loaded))
        result = self.module.run(self.method, loaded)
        if self.method == TRAIN:
            return JSON, responses.as_json(result)
        return responses.encode(loaded, result, self.module.response)

    def decode(self, content_type: str, body: Data) -> dict[str, Any]:
        """Return the arguments of ``run`` for a forwarded request."""
        request = DeepaasRequest.from_media_type(content_type)
        return {REQUEST: (request, self.arguments.from_request(request, body))}

    def encode(self, value: Any) -> tuple[str, Data, str]:
        """Return the response that ``run`` made."""
        return (*value, "")


def _service(calls: MethodCalls, name: str, model: DeepaasModel, options: Options) -> Any:
    described = {
        "name": name,
        "description": _text(model, "description", "summary"),
        "author": _text(model, "author"),
        "license": _text(model, "license"),
        **options,
        "deepaas": model,
    }
    function = attach(_function(calls, name), described, calls.run)
    function.service.schema.wire_forms[MEDIA_TYPE] = calls
    schema = calls.module.response
    if calls.method == PREDICT and schema is not None and responses.has_media(schema):
        function.view(partial(_shown, schema))
    return function


def _shown(schema: Schema, result: Any) -> Any:
    return responses.shown(result, schema)


def _text(model: DeepaasModel, *keys: str) -> str | None:
    found = (model.metadata.get(key) for key in keys)
    texts = (text for text in found if isinstance(text, str) and text)
    return next((text for text in texts if text != no_description(model.name)), None)


def _function(calls: MethodCalls, name: str) -> Callable[..., Any]:
    """Return a function with the parameters of a method."""

    def function(**values: Any) -> Any:
        return calls.call(**values)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = None
    function.__annotations__ = _returns(calls)
    arguments = calls.arguments
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [_parameter(python, arguments.fields[given]) for python, given in arguments.names.items()]
    )
    return function


def _returns(calls: MethodCalls) -> dict[str, Any]:
    """Return the hint of the result, if the module has a schema and only JSON."""
    schema = calls.module.response
    if calls.method != PREDICT or schema is None or calls.arguments.accepts:
        return {}
    documented = {"type": "object", "properties": fields.properties_of(schema.fields)}
    return {"return": Annotated[Any, WithJsonSchema(documented)]}


def _parameter(python: str, field: Any) -> inspect.Parameter:
    title = field.data_key or field.name
    default = fields.default(field)
    if field.required:
        default = inspect.Parameter.empty
    elif default is missing:
        default = None
    return inspect.Parameter(
        python,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=fields.hint_of(field, title if title != python else ""),
    )


def _model(module: Module, offered: Mapping[Method, str]) -> DeepaasModel:
    response = module.response
    methods = {
        method: DeepaasMethod(
            service=service,
            arguments=tuple(_described(module.arguments[method])),
            produces=tuple(module.arguments[method].accepts) or (JSON,),
        )
        for method, service in offered.items()
    }
    return DeepaasModel(
        name=module.name,
        metadata=module.metadata,
        predict=methods.get(PREDICT),
        train=methods.get(TRAIN),
        missing=module.missing,
        response=fields.properties_of(response.fields) if response is not None else {},
    )


def _described(arguments: Arguments) -> list[DeepaasArgument]:
    has_files = any(map(fields.is_file, arguments.fields.values()))
    made = []
    for name, field in arguments.fields.items():
        schema = fields.swagger_of(field) | {"required": field.required}
        if schema.get("type") == "object":
            schema = {"type": "string", **{k: v for k, v in schema.items() if k == "description"}}
            schema["required"] = field.required
        location = "query"
        if fields.is_file(field):
            location = "formData"
        elif name == ACCEPT and arguments.accepts:
            location = "header"
        made.append(DeepaasArgument(name=name, location=location, schema=schema))
    return sorted(made, key=lambda one: one.location != "formData") if has_files else made
