"""A method of a service as a function, with a parameter for each field of its request."""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import getitem
from typing import TYPE_CHECKING, Annotated, Any, cast

from easymlnb.compose.steps import PIECES
from easymlnb.contract.errors import CallerError, DefinitionError
from easymlnb.services import validation_errors, validators
from easymlnb.types.resolve import resolve

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

EMPTY = inspect.Parameter.empty

MADE_PER_CALL: Any = object()
"""The default of a field whose model makes a new value for each call."""

Convert = Callable[[Any], Any]


def service_function(
    method: Callable[..., Any], name: str, route: Mapping[str, Any]
) -> Callable[..., Any]:
    """Return a function for ``ml.service`` that calls a method; raises ``DefinitionError``.

    A method with one parameter, a pydantic model, becomes a function with the fields of the model.
    ``route`` are FastAPI's options of the route.
    """
    found = _signature(method)
    model = _request_model(found)
    returns = route.get("response_model", found.return_annotation)
    if returns is None and "response_model" in route:
        returns = EMPTY  # FastAPI then sends what the method returns
    convert = _converter(returns)

    def arguments(values: dict[str, Any]) -> dict[str, Any]:
        if model is None:
            return values
        (parameter,) = found.parameters
        return {parameter: _validated(model, values)}

    if inspect.iscoroutinefunction(method):

        async def run_async(**values: Any) -> Any:
            given = arguments(values)
            with _http_errors():
                return convert(await method(**given))

        function: Any = run_async
    else:

        def run(**values: Any) -> Any:
            given = arguments(values)
            with _http_errors():
                return convert(method(**given))

        function = run
    parameters = _fields(model) if model is not None else _parameters(found)
    documented = method if method.__doc__ else type(getattr(method, "__self__", None))
    return describe(function, name, list(parameters), returns, documented, (method,))


def describe(
    function: Any,
    name: str,
    parameters: list[inspect.Parameter],
    returns: Any,
    documented: Any,
    methods: tuple[Any, ...],
) -> Callable[..., Any]:
    """Give a function a name and a signature, the docstring of ``documented``, and its sources.

    ``methods`` are those that a notebook with this function must contain.
    """
    function.__name__ = function.__qualname__ = name
    function.__doc__ = getattr(documented, "__doc__", None)
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)
    function.__annotations__ = {} if returns is EMPTY else {"return": returns}
    setattr(function, PIECES, tuple(getattr(method, "__func__", method) for method in methods))
    return function  # type: ignore[no-any-return]


def _signature(method: Callable[..., Any]) -> inspect.Signature:
    name = getattr(method, "__qualname__", repr(method))
    try:
        return inspect.signature(method, eval_str=True)
    except (NameError, TypeError, ValueError, SyntaxError, AttributeError) as error:
        raise DefinitionError(
            f"A hint of {name!r} cannot be evaluated ({error}). Define or import that name before "
            "the class, at the top level."
        ) from error


def _request_model(found: inspect.Signature) -> "type[BaseModel] | None":
    """Return the model of a method's only parameter."""
    from pydantic import BaseModel

    if len(found.parameters) != 1:
        return None
    (parameter,) = found.parameters.values()
    hint = parameter.annotation
    return hint if isinstance(hint, type) and issubclass(hint, BaseModel) else None


def _parameters(found: inspect.Signature) -> Iterator[inspect.Parameter]:
    """Yield a method's own parameters; those that a service cannot have are refused later."""
    for parameter in found.parameters.values():
        default = parameter.default
        if any(kind.__name__ == "FieldInfo" for kind in type(default).__mro__):
            default = EMPTY if default.is_required() else default.get_default()
        yield parameter.replace(default=default)


def _fields(model: "type[BaseModel]") -> Iterator[inspect.Parameter]:
    """Yield a parameter for each field of a model, under the name that callers send."""
    for own_name, field in model.model_fields.items():
        name = field.validation_alias or field.alias
        try:
            yield _parameter(str(name) if isinstance(name, str) else own_name, field)
        except ValueError:  # the alias is not a Python name
            yield _parameter(own_name, field)


def _parameter(name: str, field: "FieldInfo") -> inspect.Parameter:
    from pydantic import Field

    about = {
        key: value
        for key in ("title", "description", "examples", "json_schema_extra", "discriminator")
        if (value := getattr(field, key)) is not None
    }
    default = EMPTY
    if not field.is_required():
        default = MADE_PER_CALL if field.default_factory is not None else field.get_default()
    hint: Any = getitem(cast("Any", Annotated), (field.annotation, *field.metadata, Field(**about)))
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _validated(model: "type[BaseModel]", values: dict[str, Any]) -> Any:
    """Return the request; raises ``CallerError`` for what only the whole model checks."""
    from pydantic import ValidationError

    given = {name: value for name, value in values.items() if value is not MADE_PER_CALL}
    try:
        return model.model_validate(given, by_alias=True, by_name=True)
    except ValidationError as error:
        entries = validation_errors.with_locations(error)
        text = "; ".join(entry["message"] for entry in entries[:3])
        raise CallerError(
            f"The input is invalid. {text}", details={"status_code": 422, "detail": entries}
        ) from None


def _converter(hint: Any) -> Convert:
    """Return what makes a result fit its hint: FastAPI drops extra fields and reads attributes."""
    if hint is EMPTY or hint is None:
        return lambda value: value
    from pydantic import ValidationError

    try:
        adapter = validators.adapter(resolve(hint), validators.RESULT)
    except Exception:  # the schema of the service refuses it with advice
        return lambda value: value

    def convert(value: Any) -> Any:
        try:
            return adapter.validate_python(value, from_attributes=True)
        except ValidationError:
            return value  # the service converts numpy's values, or says what does not fit

    return convert


@contextmanager
def _http_errors() -> Iterator[None]:
    """Raise a ``CallerError`` for errors such as FastAPI's ``HTTPException``."""
    try:
        yield
    except CallerError:
        raise
    except Exception as error:
        if (chosen := _as_caller_error(error)) is None:
            raise
        raise chosen from error


def _as_caller_error(error: Exception) -> CallerError | None:
    """Return the error that an exception with ``status_code`` and ``detail`` means for callers."""
    status = getattr(error, "status_code", None)
    if type(status) is not int or not 400 <= status < 600 or not hasattr(error, "detail"):
        return None
    detail = error.detail
    text = detail if isinstance(detail, str) else json.dumps(detail, default=str)
    return CallerError(text, details={"status_code": status, "detail": detail})
