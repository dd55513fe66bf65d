"""Methods of ``client.admin``, which are the same for both clients."""

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, get_args, overload

from easymlnb.client.messages import Operation
from easymlnb.client.operations import SpecCache

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


class Blocking:
    """Marks the operations of a client whose methods return their results."""


class Awaited:
    """Marks the operations of a client whose methods are awaited."""


class _Method(Protocol[P, T_co]):
    """A method that returns its result, or in an ``AsyncAdmin`` an awaitable of it."""

    @overload
    def __get__(self, admin: "Blocking", owner: type) -> Callable[P, T_co]: ...
    @overload
    def __get__(self, admin: "Awaited", owner: type) -> Callable[P, Coroutine[Any, Any, T_co]]: ...


def operation(flow: Callable[Concatenate[Any, P], Operation[T_co]]) -> _Method[P, T_co]:
    """Make a method of an operation: the client that has it does the I/O."""

    @wraps(flow)
    def method(admin: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return admin._run(flow(admin, *args, **kwargs))

    signature = inspect.signature(flow)
    result = get_args(signature.return_annotation)[2]
    cast("Any", method).__signature__ = signature.replace(return_annotation=result)
    return cast("_Method[P, T_co]", method)


class Operations:
    """Base of what both clients can do: the operations, which the client runs."""

    def __init__(self, run: Callable[[Operation[Any]], Any], specs: SpecCache) -> None:
        self._run = run
        self._specs = specs
