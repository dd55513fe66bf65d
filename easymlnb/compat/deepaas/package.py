"""What modules import from the package ``deepaas``, in environments without it."""

import abc
import logging
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from easymlnb.compat.deepaas.files import ReturnedFile, UploadedFile

VERSION = "2.6.0"
"""The release of DEEPaaS whose behavior this is."""


class BaseModel(abc.ABC):  # noqa: B024 - DEEPaaS's own has no implementation either
    """The optional base class of models."""

    schema: Any = None

    def get_metadata(self) -> Any:
        raise NotImplementedError

    def predict(self, **kwargs: Any) -> Any:
        raise NotImplementedError

    def get_predict_args(self) -> Any:
        raise NotImplementedError

    def train(self, **kwargs: Any) -> Any:
        raise NotImplementedError

    def get_train_args(self) -> Any:
        raise NotImplementedError


CONTENTS: dict[str, dict[str, Any]] = {
    "deepaas": {"__version__": VERSION, "extract_version": lambda: VERSION},
    "deepaas.log": {"getLogger": logging.getLogger, "get_logger": logging.getLogger},
    "deepaas.model": {},
    "deepaas.model.v2": {},
    "deepaas.model.v2.base": {"BaseModel": BaseModel},
    "deepaas.model.v2.wrapper": {"UploadedFile": UploadedFile, "ReturnedFile": ReturnedFile},
}
"""The modules that can be imported, with their names."""


def provide() -> None:
    """Make the modules importable, unless the package itself is installed."""
    if "deepaas" in sys.modules or find_spec("deepaas") is not None:
        return
    for name, contents in CONTENTS.items():
        module = ModuleType(name, "Provided by easymlnb.compat.deepaas.")
        module.__path__ = []
        vars(module).update(contents)
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
