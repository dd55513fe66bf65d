"""The file chooser: its script checks, previews and uploads a file, and reports the progress.

On an app page the file is uploaded to the server over HTTP, and only the upload's name comes here.
Under a cell this kernel needs the content, and the page may be in VS Code: the file comes over the
kernel's connection, in chunks that are small enough for a message.
"""

from collections.abc import Callable
from typing import Any

from traitlets import Bool, Dict, Int, List, Unicode

from easymlnb.forms.esm_widget import EsmWidget
from easymlnb.forms.shared_style import UploadSettings

LONGEST_NAME = 255
LONGEST_ID = 200

OnEvent = Callable[[str, dict[str, Any], bytes], None]


class FileUpload(EsmWidget):
    """The widget of a file field. ``on_event`` gets an event, what it says, and the file's bytes.

    Events: ``ready`` (the page is there), ``uploading``, ``received`` (with the bytes),
    ``uploaded`` (with the upload's name), ``rejected`` (with the problem) and ``removed``.
    """

    script_name = "upload"
    target = Dict().tag(sync=True)
    kind = Unicode().tag(sync=True)
    noun = Unicode().tag(sync=True)
    title = Unicode().tag(sync=True)
    accept = List(Unicode()).tag(sync=True)
    kinds = Unicode().tag(sync=True)
    max_bytes = Int(0).tag(sync=True)
    max_pixels = Int(0).tag(sync=True)
    reading = Dict().tag(sync=True)
    pages = Bool(False).tag(sync=True)
    app_page = Bool(False).tag(sync=True)

    def __init__(self, on_event: OnEvent, uploads: UploadSettings | None, **values: Any) -> None:
        target = {}
        if uploads is not None:
            target = {
                "url": uploads.url,
                "service": uploads.service,
                "authorization": uploads.authorization,
            }
        super().__init__(target=target, app_page=uploads is not None, **values)
        self._on_event = on_event
        self._chunks: list[bytes] = []
        self._file: dict[str, Any] = {}
        self._space = 0

    def on_message(self, content: Any, buffers: list[Any]) -> None:
        message = content if isinstance(content, dict) else {}
        action, upload = str(message.get("action")), message.get("upload")
        if action in ("begin", "chunk", "end"):
            if not self.target:  # otherwise the page uploads its files
                self._receive(action, message, buffers)
        elif action in ("ready", "rejected", "removed", "uploading"):
            self._on_event(action, message, b"")
        elif action == "uploaded" and self.target and _is_upload_name(upload):
            self._on_event("uploaded", {**_file_of(message), "upload": upload}, b"")

    def _receive(self, action: str, message: dict[str, Any], buffers: list[Any]) -> None:
        if action == "begin":
            self._chunks, self._file = [], _file_of(message)
            self._space = self.max_bytes or 2**62
        elif action == "chunk" and buffers and self._file:
            chunk = bytes(buffers[0])
            self._space -= len(chunk)
            if self._space < 0:
                self._chunks, self._file = [], {}
                return
            self._chunks.append(chunk)
            self.send({"action": "received"})
        elif action == "end" and self._file:
            file, data = self._file, b"".join(self._chunks)
            self._chunks, self._file = [], {}
            self._on_event("received", file, data)

    def empty(self, problem: str = "", *, first: bool = False) -> None:
        """Show that no file is chosen, or why the last one was rejected."""
        self.send({"action": "empty", "problem": problem, "first": first})

    def show(
        self, name: str, media_type: str, facts: str, data: bytes | None, *, first: bool = False
    ) -> None:
        """Show a file that was not chosen on the page; ``data`` is for its preview."""
        message = {"name": name, "type": media_type, "facts": facts, "first": first}
        self.send({"action": "show", **message}, None if data is None else [data])


def _is_upload_name(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= LONGEST_ID


def _file_of(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": str(message.get("name") or "file")[-LONGEST_NAME:],
        "type": str(message.get("type") or "")[:100],
    }
