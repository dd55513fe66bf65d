"""Check the options of functions and classes: their names and some of their values."""

import functools
import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from easymlnb.contract.errors import DefinitionError

C = TypeVar("C", bound=Callable[..., Any])


def check(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ``DefinitionError`` for the first name that is not known, with the closest option.

    ``what`` is the function or class that has the options.
    """
    names = tuple(known)
    wrong = next((name for name in given if name not in names), None)
    if wrong is None:
        return
    close = get_close_matches(wrong.lower(), names, n=1) or [
        name for name in names if wrong.lower() in name or name in wrong.lower()
    ]
    if close:
        raise DefinitionError(f"{what} has no option {wrong!r}. Did you mean {close[0]!r}?")
    options = f"Options: {', '.join(names)}." if names else f"{what} accepts no options."
    raise DefinitionError(f"{what} has no option {wrong!r}. {options}")


def check_whole(name: str, value: Any, minimum: int) -> None:
    """Raise ``DefinitionError`` unless ``value`` is a whole number of at least ``minimum``."""
    if type(value) is not int or value < minimum:
        raise DefinitionError(
            f"{name} must be a whole number of at least {minimum}, not {value!r}."
        )


def known(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's options."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return tuple(
        parameter.name
        for parameter in parameters
        if parameter.kind in kinds and parameter.name != "self"
    )


def named_options(target: C) -> C:
    """Decorate a function or a class so that an unknown option raises ``DefinitionError``."""
    if isinstance(target, type):
        cls: Any = target
        cls.__init__ = _checked(cls.__init__, target.__name__)
        return target
    return _checked(target, target.__name__)


def _checked(function: C, name: str) -> C:
    options = known(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not kwargs.keys() <= set(options):
            check(name, kwargs, options)
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]
