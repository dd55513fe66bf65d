"""A user interface as a function: its inputs are parameters, its outputs the result."""

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, TypedDict

from easymlnb.compat.easymlserve.functions import describe
from easymlnb.compat.easymlserve.ui.type import BaseType
from easymlnb.contract.errors import DefinitionError

EMPTY = inspect.Parameter.empty


class Interface(Protocol):
    """A user interface."""

    input_schema: dict[str, BaseType]
    output_schema: list[BaseType]

    def prepare_request(self, **values: Any) -> Any: ...
    def invoke(self, values: dict[str, Any]) -> Any: ...


def interface_function(interface: Interface, name: str) -> Any:
    """Return a function for ``ml.service``; raises ``DefinitionError`` for an invalid input."""
    kind = type(interface)
    outputs = interface.output_schema
    titles = output_titles(interface)

    def run(**values: Any) -> Any:
        given = {key: list(one) if isinstance(one, list) else one for key, one in values.items()}
        results = _one_each(interface, interface.invoke(given))
        shown = [one.shown(value) for one, value in zip(outputs, results, strict=True)]
        return shown[0] if len(shown) == 1 else dict(zip(titles, shown, strict=True))

    hints = [one.output_hint() for one in outputs]
    returns: Any = None
    if len(hints) == 1:
        returns = hints[0]
    elif hints:
        make: Any = TypedDict
        returns = make("Outputs", dict(zip(titles, hints, strict=True)))
    own = [method for method in ("prepare_request", "process_response") if method in vars(kind)]
    return describe(
        run,
        name,
        [_parameter(interface, key) for key in interface.input_schema],
        returns,
        kind,
        tuple(getattr(kind, method) for method in own),
    )


def _parameter(interface: Interface, key: str) -> inspect.Parameter:
    shown = interface.input_schema[key]
    default = _default(interface, key)
    try:
        return inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            default=shown.default if default is EMPTY else default,
            annotation=shown.input_hint(),
        )
    except ValueError:
        raise DefinitionError(
            f"The input {key!r} of {type(interface).__name__} cannot be a parameter. Use letters, "
            "digits and _, and no Python keyword."
        ) from None


def _default(interface: Interface, key: str) -> Any:
    """Return the default of ``prepare_request`` for an input."""
    found = inspect.signature(interface.prepare_request).parameters.get(key)
    return EMPTY if found is None else found.default


def output_titles(interface: Interface) -> list[str]:
    """Return the names of the outputs: their own, else those of their types, all different."""
    titles: list[str] = []
    for one in interface.output_schema:
        title = wanted = one.name or type(one).__name__
        number = 2
        while title in titles:
            title = f"{wanted} {number}"
            number += 1
        titles.append(title)
    return titles


def _one_each(interface: Interface, results: Any) -> list[Any]:
    """Return one result for each output; raises ``ValueError``."""
    outputs = interface.output_schema
    if len(outputs) == 1:
        single = isinstance(results, tuple) and len(results) == 1
        return [results[0] if single else results]
    if isinstance(results, Mapping):
        results = list(results.values())
    if results is None and not outputs:
        return []
    if not isinstance(results, list | tuple) or len(results) != len(outputs):
        count = len(results) if isinstance(results, list | tuple) else 1
        raise ValueError(
            f"process_response of {type(interface).__name__} returned {count} results for "
            f"{len(outputs)} outputs."
        )
    return list(results)
