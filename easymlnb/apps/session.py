"""Page sessions: many pages in one process, each isolated from the others.

Widgets communicate through comms and are listed in a table of ipywidgets. Here both belong to the
session in whose context (``CURRENT_SESSION``) they are used, so a page cannot name widgets of
another page.
"""

import itertools
import json
import threading
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partialmethod
from typing import Any

import comm
import ipywidgets as W
from comm.base_comm import BaseComm, CommManager
from ipywidgets.widgets import widget as library
from pydantic_core import to_json

from easymlnb.contract.page_protocol import FromPage, ToPage

CURRENT_SESSION: ContextVar["WidgetSession | None"] = ContextVar("easymlnb_session", default=None)
"""The session of the running code; threads must be started with a copy of the context."""

CONTROL = "jupyter.widget.control"
WIDGET = "jupyter.widget"
"""The only comm that a page opens: it asks for the state of all widgets."""

SETTABLE = frozenset(("value", "index", "selected_index"))
"""Traits that a page may set. With others, it could nest boxes without end, or remove the limits
of a field.
"""

MAX_UNSENT = 256 * 1024
"""Bytes of messages after which a batch is sent before its end."""

MAX_ENTRIES = 1000
"""Entries of a list that a page may set, such as tags."""

VERSION = "1.0.0"

_batching = threading.local()
"""``depth``: how many batches the thread is in."""

Json = dict[str, Any]


class NoSessionError(RuntimeError):
    """A widget was created outside of a page session."""


def encode(value: Any) -> bytes:
    """Return a value as JSON; browsers reject NaN and infinity, so these become ``null``."""
    return to_json(value, inf_nan_mode="null", fallback=lambda array: array.tolist())


class WidgetSession:
    """One visitor's page: its comms and widgets, and the connection to its browser."""

    def __init__(self, name: str, send: Callable[..., None]) -> None:
        """``send`` sends one or more ``ToPage``."""
        self.name = name
        self.comms: dict[str, BaseComm] = {}
        self.widgets: dict[str, W.Widget] = {}
        self.parent = b"{}"
        self._send = send
        self._unsent: list[ToPage] = []
        self._unsent_bytes = 0
        self._lock = threading.Lock()
        self.is_connected = False
        self._prefix = uuid.uuid4().hex[:12]
        self._count = itertools.count(1)
        self._handlers: dict[str, Callable[[FromPage], None]] = {
            "comm_open": self._open,
            "comm_msg": self._message,
            "comm_close": self._close,
            "comm_info_request": self._reply_comms,
            "kernel_info_request": self._reply_kernel,
        }

    def next_id(self) -> str:
        """Return a new id for a widget.

        A random id for each widget would release the interpreter's lock, and wait up to 5 ms for
        it next to busy threads; a page has dozens of widgets.
        """
        return f"{self._prefix}-{next(self._count)}"

    def send(self, kind: str, content: Any, **more: Any) -> None:
        """Send a message to the page, if it has connected."""
        if self.is_connected:
            parts = {key: value for key, value in more.items() if value}
            if "metadata" in parts:
                parts["metadata"] = encode(parts["metadata"])
            message = ToPage(
                session=self.name,
                kind=kind,
                content=encode(content),
                parent=self.parent,
                **parts,
            )
            with self._lock:
                self._unsent.append(message)
                self._unsent_bytes += len(message.content)
            if not getattr(_batching, "depth", 0) or self._unsent_bytes > MAX_UNSENT:
                self._flush()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Send the messages of this thread together, when the block ends.

        Each write releases the interpreter's lock, which may take milliseconds to get back.
        """
        _batching.depth = getattr(_batching, "depth", 0) + 1
        try:
            yield
        finally:
            _batching.depth -= 1
            if not _batching.depth:
                self._flush()

    def _flush(self) -> None:
        with self._lock:  # until they are written: they must arrive in this order
            # Taken first: an interrupt right after the write must not send them a second time.
            messages, self._unsent, self._unsent_bytes = self._unsent, [], 0
            if messages:
                self._send(*messages)

    def handle(self, message: FromPage) -> None:
        """Process a message of the page."""
        self.is_connected = True
        self.parent = message.header
        with self.batch():
            try:
                handler = self._handlers.get(message.kind)
                if handler is not None:
                    handler(message)
            finally:
                # A front end sends the next change of a widget after the last one was processed.
                self.send("status", {"execution_state": "idle"})

    def close(self) -> None:
        """Free all widgets without messages to the page."""
        self.is_connected = False
        for widget in list(self.widgets.values()):
            widget.close()
        self.widgets.clear()
        self.comms.clear()

    def _open(self, message: FromPage) -> None:
        content = json.loads(message.content)
        name = content["comm_id"]
        # Pages must not create widgets: they could use any class, and all memory.
        if content.get("target_name") != CONTROL or name in self.comms:
            self.send("comm_close", {"comm_id": name, "data": {}})
            return
        control = SessionComm(target_name=CONTROL, comm_id=name, primary=False)
        control.on_msg(lambda request: self._send_states(control, request["content"]["data"]))
        for other in [key for key, each in self.comms.items() if each.target_name == CONTROL]:
            self.comms.pop(other)._closed = True
        self.comms[name] = control

    def _send_states(self, control: BaseComm, data: Json) -> None:
        if data.get("method") != "request_states":
            return
        states, paths, buffers = self._states()
        reply = {"method": "update_states", "states": states, "buffer_paths": paths}
        control.send(reply, buffers=buffers)

    def _states(self) -> tuple[Json, list[Any], list[Any]]:
        """Return the state of all widgets without its bytes, and where which bytes belong."""
        states = {
            name: {
                "model_name": widget._model_name,
                "model_module": widget._model_module,
                "model_module_version": widget._model_module_version,
                "state": widget.get_state(),
            }
            for name, widget in list(self.widgets.items())
        }
        found: tuple[Json, list[Any], list[Any]] = library._remove_buffers(states)
        return found

    def state(self) -> bytes:
        """Return the state of all widgets as JSON, for a page that is not connected yet."""
        states, paths, buffers = self._states()
        texts = [b64encode(buffer).decode() for buffer in buffers]
        return encode({"states": states, "buffer_paths": paths, "buffers": texts})

    def _message(self, message: FromPage) -> None:
        content = json.loads(message.content)
        target = self.comms.get(content["comm_id"])
        state = content["data"].get("state")
        if isinstance(state, dict):
            content["data"]["state"] = {
                name: value
                for name, value in state.items()
                if name in SETTABLE and not (isinstance(value, list) and len(value) > MAX_ENTRIES)
            }
        if target is not None:
            target.handle_msg({"content": content, "buffers": list(message.buffers)})

    def _close(self, message: FromPage) -> None:
        # A page may drop a widget; the session keeps it until the page is closed.
        name = json.loads(message.content)["comm_id"]
        target = self.comms.get(name)
        if target is not None and target.target_name == CONTROL:
            # No message to the page, which has just closed the comm itself.
            target._closed = True
            del self.comms[name]

    def _reply_comms(self, message: FromPage) -> None:
        comms = {name: {"target_name": each.target_name} for name, each in self.comms.items()}
        self.send("comm_info_reply", {"status": "ok", "comms": comms})

    def _reply_kernel(self, message: FromPage) -> None:
        language = {"name": "none", "mimetype": "text/plain", "file_extension": ".txt"}
        self.send(
            "kernel_info_reply",
            {
                "status": "ok",
                "protocol_version": "5.3",
                "implementation": "easymlnb",
                "implementation_version": VERSION,
                "language_info": {**language, "version": "0"},
                "banner": "",
                "help_links": [],
            },
        )


def current_session() -> WidgetSession:
    """Return the session of the running code. Raises ``NoSessionError``."""
    session = CURRENT_SESSION.get()
    if session is None:
        raise NoSessionError(
            "No page session in this thread. Start threads with contextvars.copy_context().run."
        )
    return session


class SessionComm(BaseComm):
    """A comm that belongs to a session."""

    def __init__(self, *, comm_id: str = "", **kwargs: Any) -> None:
        self.session = current_session()
        super().__init__(comm_id=comm_id or self.session.next_id(), **kwargs)

    def publish_msg(
        self,
        msg_type: str,
        data: Json | None = None,
        metadata: Json | None = None,
        buffers: list[bytes] | None = None,
        **keys: Any,
    ) -> None:
        content = {"comm_id": self.comm_id, "data": data or {}, **keys}
        raw = tuple(map(bytes, buffers or ()))
        self.session.send(msg_type, content, metadata=metadata, buffers=raw)


class SessionComms(CommManager):
    """Registers comms with their sessions."""

    def register_comm(self, comm: BaseComm) -> str:
        assert isinstance(comm, SessionComm)
        comm.session.comms[comm.comm_id] = comm
        return comm.comm_id

    def unregister_comm(self, comm: BaseComm) -> None:
        assert isinstance(comm, SessionComm)
        comm.session.comms.pop(comm.comm_id, None)


class SessionWidgets(MutableMapping[str, W.Widget]):
    """The table of ipywidgets, limited to the widgets of the current session."""

    def __init__(self) -> None:
        self._owners: dict[str, WidgetSession] = {}
        self._lock = threading.Lock()

    def _own(self) -> dict[str, W.Widget]:
        session = CURRENT_SESSION.get()
        return session.widgets if session is not None else {}

    def __getitem__(self, name: str) -> W.Widget:
        return self._own()[name]

    def __setitem__(self, name: str, widget: W.Widget) -> None:
        assert isinstance(widget.comm, SessionComm)
        with self._lock:
            self._owners[name] = widget.comm.session
        widget.comm.session.widgets[name] = widget

    def __delitem__(self, name: str) -> None:
        # The garbage collector may close widgets in the context of another session.
        with self._lock:
            owner = self._owners.pop(name)
        owner.widgets.pop(name, None)

    def pop(self, name: str, default: Any = None) -> Any:
        try:
            del self[name]
        except KeyError:
            return default
        return default

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._own()))

    def __len__(self) -> int:
        return len(self._own())


def _open(widget: W.Widget, usual: Callable[[W.Widget], None]) -> None:
    """Open the comm of a widget, without its state if no page is connected to receive it.

    A third of the time to build a page went into states that were not sent.
    """
    if current_session().is_connected:
        usual(widget)
    elif widget.comm is None:
        widget.comm = SessionComm(target_name=WIDGET, comm_id=widget._model_id or "")


def install() -> None:
    """Make all widgets of this process belong to sessions from now on."""
    manager = SessionComms()
    comm.create_comm = SessionComm
    comm.get_comm_manager = lambda: manager
    library._instances = SessionWidgets()
    W.Widget.open = partialmethod(_open, W.Widget.open)
