"""Widgets whose other half is a script of ours, run by the front end's anywidget.

Not derived from ``anywidget.AnyWidget``: that makes a class for each instance, which weighs more
than all else of a small widget where one kernel carries the pages of hundreds of visitors.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Any

import ipywidgets as W
from traitlets import Unicode

from easymlnb.forms.shared_style import SharedStyleWidget

FRONT_END = ">=0.9.13"
"""Versions of anywidget's front end that run the scripts; it is installed where the server is."""


_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=async |class |const |function )", re.MULTILINE)
_TYPES = re.compile(r"^ */\*\*(?:(?!\*/).)*\*/\n|^// @ts-check\n", re.MULTILINE | re.DOTALL)
"""Comments for the type checker: every widget carries its script, so they are left out."""


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
    """A widget drawn by the script of its name; ``said`` takes what it sends."""

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
        super().__init__(
            _model_module_version=FRONT_END,
            _view_module_version=FRONT_END,
            _esm=script(self.script_name),
            _anywidget_id=f"easymlnb.{self.script_name}",
            **values,
        )
        self.on_msg(lambda _, content, buffers: self.said(content, buffers))

    def said(self, content: Any, buffers: list[Any]) -> None:
        """Take a message of the script; whatever it is, it came from a browser."""
