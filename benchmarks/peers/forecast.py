"""The notebook of the energy forecast for programs without easymlnb.

Its cells run with a module ``easymlnb`` that leaves functions as they are.
"""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_energy_forecast.ipynb"


class Stub(ModuleType):
    """The names of easymlnb that the notebook uses."""

    CallerError = ValueError

    def service(self, **metadata: Any) -> Any:
        def mark(function: Any) -> Any:
            function.view = lambda view: view
            function.publish = lambda: None
            return function

        return mark

    def train(self, **metadata: Any) -> Any:
        return lambda function: function

    def progress(self, *about: Any) -> None:
        """Ignore the progress of a call."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *values, **named: SimpleNamespace(values=values, **named)


def load() -> Any:
    """Return the notebook's names as attributes."""
    sys.modules["easymlnb"] = Stub("easymlnb")
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code" and "skip" not in cell["metadata"].get("tags", ()):
            exec("".join(cell["source"]), names)
    return SimpleNamespace(**names)
