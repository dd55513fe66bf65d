"""easymlnb: a decorated notebook function is a function, a form, a REST service and a web app.

Names are loaded when they are first used, so that importing the package costs nothing: the
server imports ``easymlnb.contract`` through it, and a script may only want the client.
"""

from importlib import import_module
from typing import Any

from easymlnb._version import __version__

_HOMES = {
    "decorator": ("service", "ServiceFunction"),
    "runtime.context": ("progress",),
    "contract.errors": ("CallerError", "EasyMLNBError"),
}

_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'easymlnb' has no attribute {name!r}")
    value = getattr(import_module(f"easymlnb.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
