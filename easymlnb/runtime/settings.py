"""Copy thread-local settings of the notebook's cells to other threads.

A cell that sets decimal's precision, a ``ContextVar``, scikit-learn's configuration or torch's grad
mode does so for the main thread. Calls in other threads begin with the same settings.
"""

import asyncio
import decimal
import gc
import sys
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

PLAIN = (bool, int, float, complex, str, bytes, tuple, type(None))

Apply = Callable[[], None]
"""Applies one setting to the thread that calls it."""


class ThreadSettings:
    """The settings of the thread that creates this, to apply to other threads."""

    __slots__ = ("_applies", "context", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.context = _own_context()
        self._applies = [*_of_libraries(), *map(_of_local, _notebook_locals())]

    def apply(self) -> None:
        """Apply the settings to this thread, except for the context variables."""
        if threading.get_ident() != self.thread:
            for apply in self._applies:
                apply()


_cells: ThreadSettings | None = None


def remember() -> None:
    """Store this thread's settings, if it runs the notebook's cells."""
    global _cells
    if threading.current_thread() is threading.main_thread():
        _cells = ThreadSettings()


def cells_context() -> Context:
    """Return a context for a call, with the variables as the cells have set them by now."""
    return copy_context() if _cells is None else _cells.context.copy()


def enter() -> None:
    """Begin a call in this thread, inside a ``context()``, with the settings of the cells."""
    if _cells is not None:
        _cells.apply()
        # The context variable has a mutable object, which copies of a context would share.
        decimal.setcontext(decimal.getcontext().copy())


def entered(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in this thread, inside a ``context()``, with the settings of the cells."""
    enter()
    return function(*args, **kwargs)


def call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in this thread with the context and the settings of the cells."""
    if _cells is None or threading.get_ident() == _cells.thread:
        return function(*args, **kwargs)
    run: Callable[..., R] = _cells.context.copy().run
    return run(entered, function, *args, **kwargs)


def _own_context() -> Context:
    """Return this thread's own context if possible, so that later changes are visible."""
    try:
        task: Any = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is None:
        return copy_context()
    if hasattr(task, "get_context"):
        found: Context = task.get_context()
        return found
    # Python 3.11 has no way to ask; the first context that a task refers to is its own.
    contexts = (one for one in gc.get_referents(task) if isinstance(one, Context))
    return next(contexts, None) or copy_context()


# thread-local storage of libraries


def _of_libraries() -> list[Apply]:
    found = []
    for name, copy in LIBRARIES.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        try:
            found.append(copy(module))
        except (AttributeError, RuntimeError):  # another version, or half imported
            continue
    return found


def _of_sklearn(config: Any) -> Apply:
    mine = config._get_threadlocal_config()

    def apply() -> None:
        own = config._get_threadlocal_config()
        own.clear()
        own.update(mine)

    return apply


def _of_numpy(numpy: Any) -> Apply:
    mine = numpy.geterrobj()  # gone with numpy 2, which has a context variable
    return lambda: numpy.seterrobj(mine)


def _of_sympy(parameters: Any) -> Apply:
    return _of_local(parameters.global_parameters)


def _of_torch(torch: Any) -> Apply:
    grad = torch.is_grad_enabled()
    default = torch.get_default_device()
    chosen = torch.cuda.current_device() if torch.cuda.is_initialized() else None

    def apply() -> None:
        torch.set_grad_enabled(grad)
        if torch.get_default_device() != default:
            torch.set_default_device(default)
        if chosen is not None:
            torch.cuda.set_device(chosen)

    return apply


LIBRARIES: dict[str, Callable[[Any], Apply]] = {
    "numpy": _of_numpy,
    "sklearn._config": _of_sklearn,
    "sympy.core.parameters": _of_sympy,
    "torch": _of_torch,
}
"""How to copy the settings of a library, by the module that must be imported."""


def _of_local(local: threading.local) -> Apply:
    mine = vars(local)

    def apply() -> None:
        values = mine.copy()
        # Objects such as connections stay separate for each thread.
        if all(isinstance(value, PLAIN) for value in values.values()):
            vars(local).update(values)

    return apply


def _notebook_locals() -> list[threading.local]:
    """Return the ``threading.local()`` objects of the notebook."""
    names = vars(sys.modules["__main__"])
    return [value for value in list(names.values()) if isinstance(value, threading.local)]
