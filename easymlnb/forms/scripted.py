"""Widgets whose other half is a script of ours, run by the front end's anywidget.

Not derived from ``anywidget.AnyWidget``: that makes a class for each instance, which weighs more
than all else of a small widget where one kernel carries the pages of hundreds of visitors.
"""

from functools import cache
from importlib.resources import files
from typing import Any

import ipywidgets as W
from traitlets import Unicode

from easymlnb.forms.lean import Lean

FRONT_END = ">=0.9.13"
"""Versions of anywidget's front end that run the scripts; it is installed where the server is."""


@cache
def script(*names: str) -> str:
    """Return scripts of this package as one module; all but the last only define functions."""
    folder = files("easymlnb.forms").joinpath("scripts")
    return "".join(folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in names)


class Scripted(Lean, W.DOMWidget):  # type: ignore[misc]
    """A widget drawn by the script of its name; ``said`` takes what it sends."""

    script_names: tuple[str, ...] = ()

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
            _esm=script(*self.script_names),
            _anywidget_id=f"easymlnb.{self.script_names[-1]}",
            **values,
        )
        self.on_msg(lambda _, content, buffers: self.said(content, buffers))

    def said(self, content: Any, buffers: list[Any]) -> None:
        """Take a message of the script; whatever it is, it came from a browser."""
