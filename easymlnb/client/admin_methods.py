"""Methods of ``client.admin`` that are operations: both clients have them, and do their I/O."""

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, get_args, overload

from easymlnb.client.messages import Operation
from easymlnb.client.operations import SpecCache

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


class Sync:
    """Marks a class whose methods return their results."""


class Async:
    """Marks a class whose methods return awaitables of their results."""


class Method(Protocol[P, T_co]):
    """A method that returns its result, or in an ``Async`` class an awaitable of it."""

    @overload
    def __get__(self, admin: Sync, owner: type) -> Callable[P, T_co]: ...
    @overload
    def __get__(self, admin: Async, owner: type) -> Callable[P, Coroutine[Any, Any, T_co]]: ...


def operation(flow: Callable[Concatenate[Any, P], Operation[T_co]]) -> Method[P, T_co]:
    """Make a method of an operation: the client that has it does the I/O."""

    @wraps(flow)
    def method(admin: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return admin._run(flow(admin, *args, **kwargs))

    signature = inspect.signature(flow)
    result = get_args(signature.return_annotation)[2]
    cast("Any", method).__signature__ = signature.replace(return_annotation=result)
    return cast("Method[P, T_co]", method)


class Operations:
    """Base of the classes with operations."""

    def __init__(self, run: Callable[[Operation[Any]], Any], specs: SpecCache) -> None:
        self._run = run
        self._specs = specs
