"""pyplot's figures, apart for each call.

pyplot keeps one table of figures and draws into the newest. Here every call has a table of its
own, whose figures are closed with it, and the author's cells keep theirs.
"""

import sys
from collections import OrderedDict
from collections.abc import ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from easymlnb.runtime.context import CURRENT_CALL, Context

TABLE = "matplotlib._pylab_helpers"
"""The module that holds pyplot's table of figures."""


class own_figures:
    """Keep the pyplot figures of a call apart, and close them after the code inside ``with``."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        if not _watching:
            _watch()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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


class _PerCall(MutableMapping[Any, Any]):
    """Stands in for pyplot's table: that of the running call, outside calls the former one."""

    def __init__(self, outside: "OrderedDict[Any, Any]") -> None:
        self._outside = outside

    @property
    def _here(self) -> "OrderedDict[Any, Any]":
        context = CURRENT_CALL.get()
        return context.figures if context is not None else self._outside

    def __getitem__(self, number: Any) -> Any:
        return self._here[number]

    def __setitem__(self, number: Any, manager: Any) -> None:
        self._here[number] = manager

    def __delitem__(self, number: Any) -> None:
        del self._here[number]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._here)

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._here.keys())

    def __len__(self) -> int:
        return len(self._here)

    def keys(self) -> KeysView[Any]:
        return self._here.keys()

    def values(self) -> ValuesView[Any]:
        return self._here.values()

    def items(self) -> ItemsView[Any, Any]:
        return self._here.items()

    def move_to_end(self, number: Any, last: bool = True) -> None:
        self._here.move_to_end(number, last)


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
        return  # a cell is importing it
    else:
        _replace(module)
    _watching = True


def _replace(module: Any) -> None:
    if not isinstance(module.Gcf.figs, _PerCall):
        module.Gcf.figs = _PerCall(module.Gcf.figs)
