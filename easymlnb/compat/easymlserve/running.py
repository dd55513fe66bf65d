"""Run files that were written for EasyMLServe without a change."""

import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from easymlnb.compat.easymlserve import registration
from easymlnb.contract.errors import EasyMLNBError

NAME = "easymlserve"
HOME = "easymlnb.compat.easymlserve"
MODULES = ("", ".server", ".service", ".ui", ".ui.type")
"""The public modules."""


def run(path: str | Path) -> None:
    """Run a Python file as ``python FILE`` does in its folder.

    Imports of ``easymlserve`` get the classes of this package. Services are named after the folder.

    Parameters
    ----------
    path : str or Path
        The file, such as ``"histogram/service.py"``. Write it as a literal, so that publishing
        includes the folder's modules and the files that they name.

    Raises
    ------
    EasyMLNBError
        There is no such file.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise EasyMLNBError(f"There is no file {str(path)!r} in the folder {os.getcwd()!r}.")
    with _in_folder(file.parent), _as_easymlserve(), _own_modules(file.parent):
        runpy.run_path(str(file), run_name="__main__")


def install() -> None:
    """Let ``import easymlserve`` find this package, in this process.

    Raises
    ------
    EasyMLNBError
        The real package was imported before.
    """
    known = sys.modules.get(NAME)
    if known is not None and known is not sys.modules[HOME]:
        raise EasyMLNBError(
            "The package 'easymlserve' is installed and was imported before. Call install() before "
            "the first import, or import 'easymlnb.compat.easymlserve' instead."
        )
    sys.modules.update(_modules())


def _modules() -> dict[str, ModuleType]:
    return {f"{NAME}{part}": import_module(f"{HOME}{part}") for part in MODULES}


@contextmanager
def _as_easymlserve() -> Iterator[None]:
    """Let ``import easymlserve`` find this package inside ``with``."""
    before = {name: one for name, one in sys.modules.items() if _is_inside(name)}
    ours = _modules()
    for name in before:
        del sys.modules[name]
    sys.modules.update(ours)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if _is_inside(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _is_inside(name: str) -> bool:
    return name == NAME or name.startswith(f"{NAME}.")


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """Work in a folder, with its modules first in the search path."""
    before = Path.cwd()
    registration.enter(before)
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        registration.leave()


@contextmanager
def _own_modules(folder: Path) -> Iterator[None]:
    """Forget the modules of a folder: the next folder may have others with the same names."""
    before, own = set(sys.modules), _named_in(folder)
    hidden = {name: sys.modules.pop(name) for name in before if name.partition(".")[0] in own}
    try:
        yield
    finally:
        for name in sys.modules.keys() - before | hidden.keys():
            if name in sys.modules and _is_from(sys.modules[name], folder):
                del sys.modules[name]
        sys.modules.update(hidden)


def _named_in(folder: Path) -> set[str]:
    """Return the modules and packages in a folder, without those that hide Python's own."""
    files = [*folder.glob("*.py"), *(path.parent for path in folder.glob("*/__init__.py"))]
    return {path.stem for path in files} - sys.stdlib_module_names - {"__main__"}


def _is_from(module: ModuleType, folder: Path) -> bool:
    """Return whether a module, or a package without a file, is from a folder."""
    paths = (getattr(module, "__file__", None), *getattr(module, "__path__", ()))
    return any(path and Path(path).is_relative_to(folder) for path in paths)
