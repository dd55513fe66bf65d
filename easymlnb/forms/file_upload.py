"""The file chooser: its script looks at the file, refuses it or sends it, and tells how far it is.

On the page of an app the file goes to the server in pieces, over HTTP, and only the name that the
server gave it comes here. Under a cell, where the value is needed in this very kernel and the page
may be VS Code's, it comes over the kernel's connection: piece by piece, so that no message is
larger than servers let through.
"""

from collections.abc import Callable
from typing import Any

from traitlets import Bool, Dict, Int, List, Unicode

from easymlnb.forms.esm_widget import EsmWidget
from easymlnb.forms.shared_style import Uploads

LONGEST_NAME = 255
LONGEST_ID = 200

Told = Callable[[str, dict[str, Any], bytes], None]


class FileUpload(EsmWidget):
    """The widget of one file field; ``told`` gets what happens: an event, its words, its bytes."""

    script_name = "upload"
    to = Dict().tag(sync=True)
    kind = Unicode().tag(sync=True)
    word = Unicode().tag(sync=True)
    title = Unicode().tag(sync=True)
    accept = List(Unicode()).tag(sync=True)
    kinds = Unicode().tag(sync=True)
    max_bytes = Int(0).tag(sync=True)
    max_pixels = Int(0).tag(sync=True)
    reading = Dict().tag(sync=True)
    pages = Bool(False).tag(sync=True)
    alone = Bool(False).tag(sync=True)

    def __init__(self, told: Told, uploads: Uploads | None, **values: Any) -> None:
        to = {}
        if uploads is not None:
            to = {
                "url": uploads.url,
                "service": uploads.service,
                "authorization": uploads.authorization,
            }
        super().__init__(to=to, alone=uploads is not None, **values)
        self._told = told
        self._pieces: list[bytes] = []
        self._about: dict[str, Any] = {}
        self._room = 0

    def said(self, content: Any, buffers: list[Any]) -> None:
        found = content if isinstance(content, dict) else {}
        act = str(found.get("do"))
        if act in ("begin", "piece", "end"):
            self._receive(act, found, buffers)
        elif act in ("ready", "refused", "remove", "sending"):
            self._told(act, found, b"")
        elif act == "sent" and self.to:
            upload = found.get("upload")
            if isinstance(upload, str) and 0 < len(upload) <= LONGEST_ID:
                self._told("sent", {**_words(found), "upload": upload}, b"")

    def _receive(self, act: str, found: dict[str, Any], buffers: list[Any]) -> None:
        if self.to:
            return  # Files of this page never come this way.
        if act == "begin":
            self._pieces, self._about = [], _words(found)
            self._room = self.max_bytes or 2**62
        elif act == "piece" and buffers and self._about:
            piece = bytes(buffers[0])
            self._room -= len(piece)
            if self._room < 0:
                self._pieces, self._about = [], {}
                return
            self._pieces.append(piece)
            self.send({"tell": "taken"})
        elif act == "end" and self._about:
            about, data = self._about, b"".join(self._pieces)
            self._pieces, self._about = [], {}
            self._told("received", about, data)

    def empty(self, problem: str = "", *, first: bool = False) -> None:
        """Show that no file is chosen, or why the last one is not taken."""
        self.send({"tell": "empty", "problem": problem, "first": first})

    def show(
        self, name: str, media_type: str, facts: str, data: bytes | None, *, first: bool = False
    ) -> None:
        """Show a file that was not chosen here; ``data`` is for its preview."""
        told = {"tell": "show", "name": name, "type": media_type, "facts": facts, "first": first}
        self.send(told, None if data is None else [data])


def _words(found: dict[str, Any]) -> dict[str, Any]:
    size = found.get("size")
    return {
        "name": str(found.get("name") or "file")[-LONGEST_NAME:],
        "type": str(found.get("type") or "")[:100],
        "size": size if isinstance(size, int) else 0,
    }
