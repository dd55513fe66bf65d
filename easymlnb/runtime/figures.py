"""Separate pyplot figures for each call.

pyplot has one table of figures and draws into the newest. Here every call has its own table, whose
figures are closed with the call; the author's cells have another one.
"""

import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

from easymlnb.runtime.context import CURRENT_CALL, Context

TABLE = "matplotlib._pylab_helpers"
"""The module that holds pyplot's table of figures."""


class own_figures:
    """Separate the pyplot figures of a call, and close them after the code inside ``with``."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        if not _watching:
            _watch()

    def __exit__(self, *error: object) -> None:
        if self._context.figures:
            _close(self._context.figures)


def _close(figures: "OrderedDict[Any, Any]") -> None:
    """Close the figures of the current call."""
    drawn = [getattr(manager.canvas, "figure", None) for manager in figures.values()]
    pyplot = sys.modules.get("matplotlib.pyplot")
    with suppress(Exception):  # the figures' own handlers run, and the call has its result
        if pyplot is not None:
            pyplot.close("all")
    figures.clear()
    # The inline backend also lists them, to be shown after the next cell.
    show: Any = getattr(sys.modules.get("matplotlib_inline.backend_inline"), "show", None)
    if getattr(show, "_to_draw", None):
        show._to_draw = [one for one in show._to_draw if not any(one is it for it in drawn)]


class _CallFigures:
    """Replaces pyplot's table: the one of the running call, outside calls the former one."""

    def __init__(self, outside: "OrderedDict[Any, Any]") -> None:
        self._outside = outside

    @property
    def _current(self) -> "OrderedDict[Any, Any]":
        context = CURRENT_CALL.get()
        return context.figures if context is not None else self._outside

    def __getitem__(self, number: Any) -> Any:
        return self._current[number]

    def __setitem__(self, number: Any, manager: Any) -> None:
        self._current[number] = manager

    def __delitem__(self, number: Any) -> None:
        del self._current[number]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._current)

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._current.keys())

    def __contains__(self, number: Any) -> bool:
        return number in self._current

    def __len__(self) -> int:
        return len(self._current)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._current, name)


class _OnImport(MetaPathFinder):
    """Replaces pyplot's table when its module is imported, which the first call may do."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != TABLE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                _replace(module)

            loader.exec_module = exec_module
        return spec


_watching = False


def _watch() -> None:
    """Replace pyplot's table, now or when it is imported."""
    global _watching
    module = sys.modules.get(TABLE)
    if module is None:
        sys.meta_path.insert(0, _OnImport())
    elif not hasattr(module, "Gcf"):
        return  # a cell is importing the module
    else:
        _replace(module)
    _watching = True


def _replace(module: Any) -> None:
    if not isinstance(module.Gcf.figs, _CallFigures):
        module.Gcf.figs = _CallFigures(module.Gcf.figs)
