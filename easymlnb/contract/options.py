"""Options by their names: what to say of one that does not exist."""

import functools
import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from easymlnb.contract.errors import DefinitionError

C = TypeVar("C", bound=Callable[..., Any])


def check(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ``DefinitionError``, a ``TypeError``, for the first name that is not known.

    It names the closest option, or all of them. ``what`` is whose options they are.
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
    said = f"Options: {', '.join(names)}." if names else f"{what} accepts no options."
    raise DefinitionError(f"{what} has no option {wrong!r}. {said}")


def known(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's options."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = inspect.signature(function).parameters.values()
    return tuple(one.name for one in found if one.kind in kinds and one.name != "self")


def named_options(target: C) -> C:
    """Decorator for a function or a class: a wrong option is answered with the closest one."""
    if isinstance(target, type):
        made: Any = target
        made.__init__ = _checked(made.__init__, target.__name__)
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
