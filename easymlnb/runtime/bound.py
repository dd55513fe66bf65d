"""Find out whether the code of a service uses an object of a given event loop.

An HTTP session or a connection belongs to the loop that ran when it was created, a lock or a queue
to the loop in which a task first waited for it. asyncio's classes and most libraries store that
loop as ``_loop``. The search follows the names that the code uses, and what these objects refer to.
"""

import asyncio
import gc
import inspect
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

LIMIT = 500
"""Objects to check: objects of a loop are close to the function, and a model may be huge."""

LARGE = 100
"""Entries of a container above which it contains data rather than clients."""

CONTAINERS = (dict, list, tuple, set, frozenset)

KERNEL = {"IPython", "comm", "ipykernel", "ipywidgets", "logging", "traitlets", "zmq"}
DATA = {"PIL", "keras", "matplotlib", "numpy", "pandas", "sklearn", "tensorflow", "torch"}
OTHERS = frozenset(KERNEL | DATA)
"""Libraries whose objects are skipped: they contain data, or refer to the kernel itself."""


def uses_loop(work: Any, loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a function, or a coroutine of it, uses an object of an event loop."""
    waiting = deque([work])
    seen: set[int] = set()
    while waiting and len(seen) < LIMIT:
        thing = waiting.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if thing is loop or _loop_of(thing) is loop:
            return True
        waiting.extend(_referents(thing))
    return False


def _loop_of(thing: Any) -> Any:
    if isinstance(thing, type):
        return None
    try:
        return object.__getattribute__(thing, "_loop")  # runs no code of a proxy
    except Exception:
        return None


def _referents(thing: Any) -> Iterable[Any]:
    """Return the objects that an object refers to."""
    if isinstance(thing, types.FunctionType):
        return _of_function(thing)
    if isinstance(thing, types.MethodType):
        return (thing.__func__, thing.__self__)
    if inspect.iscoroutine(thing):
        return _of_frame(thing.cr_frame)
    if inspect.isasyncgen(thing):
        return _of_frame(thing.ag_frame)
    if isinstance(thing, type):
        return tuple(vars(thing).values()) if _is_local(thing.__module__) else ()
    if isinstance(thing, types.ModuleType | asyncio.AbstractEventLoop | types.FrameType):
        return ()
    if type(thing) in CONTAINERS and len(thing) > LARGE:
        return ()
    if any(base.__module__.partition(".")[0] in OTHERS for base in type(thing).__mro__):
        return ()
    return gc.get_referents(thing)


def _of_function(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # the cell is empty so far
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    if _is_local(function.__module__):
        yield from _named(function.__code__, function.__globals__)


def _of_frame(frame: types.FrameType | None) -> Iterator[Any]:
    if frame is not None:
        yield from frame.f_locals.values()
        yield from _named(frame.f_code, frame.f_globals)


def _named(code: types.CodeType, names: dict[str, Any]) -> Iterator[Any]:
    """Yield the global objects that code names, and those of the notebook's modules."""
    used = set(_names(code))
    for name in used:
        value = names.get(name)
        if not isinstance(value, types.ModuleType):
            yield value
        elif _is_local(value.__name__):
            yield from map(vars(value).get, used)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


@cache
def _is_local(module: str | None) -> bool:
    """Return whether a module is the notebook or next to it, rather than in a library."""
    if module == "__main__":
        return True
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    if not file or (module or "").partition(".")[0] == "easymlnb":
        return False
    path = Path(file)
    installed = {"site-packages", "dist-packages"}.intersection(path.parts)
    return not installed and not path.is_relative_to(sysconfig.get_path("stdlib"))
