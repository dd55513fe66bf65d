"""Widgets of an author on an app page, in a frame of their own.

Their scripts are the author's, or those of packages with content of the author. The frame has no
origin: it cannot read the page, send requests as its visitor, or reach other frames.
"""

import json
from typing import Any

from traitlets import Unicode

from easymlnb.forms import shared_style as W
from easymlnb.forms.esm_widget import EsmWidget
from easymlnb.forms.layout_capture import SAFE_STYLE

HEIGHT = "240px"
"""The height of a frame until its content is drawn, unless the author sets one."""


class WidgetFrame(EsmWidget):
    """A frame; ``content`` is the state of its widgets as JSON, ``root`` names the outermost."""

    script_name = "frame"
    content = Unicode().tag(sync=True)
    root = Unicode().tag(sync=True)
    height = Unicode().tag(sync=True)
    """The height that the author set; empty to follow the content."""

    @classmethod
    def of(cls, given: dict[str, Any]) -> "WidgetFrame":
        """Return the frame of a captured widget."""
        height = str(given.get("height") or "")
        if not SAFE_STYLE.match(height):
            height = ""
        content = {name: given.get(name) for name in ("states", "buffer_paths", "buffers")}
        return cls(
            content=json.dumps(content),
            root=str(given.get("root") or ""),
            height=height,
            layout=W.Layout(height=height or HEIGHT),
        )
