"""Widgets that are drawn by a script of ours, which the front end's anywidget runs.

They do not derive from ``anywidget.AnyWidget``: it makes a class for each instance, which takes
more memory than the rest of a small widget, and a form kernel has hundreds of pages.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Any

import ipywidgets as W
from traitlets import Unicode

from easymlnb.forms.shared_style import SharedStyleWidget, current

FRONT_END = ">=0.9.13"
"""Versions of anywidget's front end that run the scripts; it is installed with the server."""

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=async |class |const |function )", re.MULTILINE)
_TYPES = re.compile(r"^ */\*\*(?:(?!\*/).)*\*/\n|^// @ts-check\n", re.MULTILINE | re.DOTALL)
"""Comments for the type checker, which are left out: every widget carries its script."""


@cache
def script(name: str) -> str:
    """Return a script and what it imports as one module: a widget has no other file to import."""
    parts: dict[str, str] = {}
    _collect(name, parts)
    return "".join(parts.values())


def _collect(name: str, parts: dict[str, str]) -> None:
    """Add a script to ``parts``, after the scripts that it imports."""
    path = files("easymlnb.forms").joinpath("scripts", f"{name}.js")
    text = path.read_text(encoding="utf-8")
    for imported in _IMPORT.findall(text):
        if imported not in parts:
            _collect(imported, parts)
    parts[name] = _EXPORT.sub("", _TYPES.sub("", _IMPORT.sub("", text)))


class EsmWidget(SharedStyleWidget, W.DOMWidget):  # type: ignore[misc]
    """A widget drawn by the script ``script_name``, which sends messages to ``on_message``."""

    script_name = ""

    _model_name = Unicode("AnyModel").tag(sync=True)
    _model_module = Unicode("anywidget").tag(sync=True)
    _view_name = Unicode("AnyView").tag(sync=True)
    _view_module = Unicode("anywidget").tag(sync=True)
    _model_module_version = Unicode().tag(sync=True)
    _view_module_version = Unicode().tag(sync=True)
    _esm = Unicode().tag(sync=True)
    _anywidget_id = Unicode().tag(sync=True)

    def __init__(self, **values: Any) -> None:
        context = current()
        bundled = context is not None and context.page_has_scripts
        super().__init__(
            _model_module_version=FRONT_END,
            _view_module_version=FRONT_END,
            _esm="" if bundled else script(self.script_name),
            _anywidget_id=f"easymlnb.{self.script_name}",
            **values,
        )
        self.on_msg(lambda _, content, buffers: self.on_message(content, buffers))

    def on_message(self, content: Any, buffers: list[Any]) -> None:
        """Handle a message of the script. It comes from a browser and may contain anything."""
