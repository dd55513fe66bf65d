"""Page sessions: many pages in one process, each isolated from the others.

Widgets talk through comms and find each other in one table of their library. Here both belong
to the place in whose context (``HERE``) they are used, so whatever a page names that is not its
own does not exist for it.
"""

import json
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any

import comm
import ipywidgets as W
from comm.base_comm import BaseComm, CommManager
from ipywidgets.widgets import widget as library

from easymlnb.contract.page_protocol import FromPage, ToPage

CURRENT_SESSION: ContextVar["WidgetSession | None"] = ContextVar("easymlnb_place", default=None)
"""The place that the running code works for; threads must take their context along."""

CONTROL = "jupyter.widget.control"
"""The one comm that a page opens: it asks for the state of all its widgets."""

MAY_SET = frozenset(("value", "index", "selected_index"))
"""What a person changes on a page. A page that could set all else of a widget could put boxes into
each other again and again, or lift the bounds of a field.
"""

LONGEST = 1000
"""Entries of a list that a person chooses, such as tags."""

VERSION = "1.0.0"

Json = dict[str, Any]


class NoSessionError(RuntimeError):
    """A widget was made or closed where it is unknown to whom it belongs."""


def _plain(value: Any) -> Any:
    """Return what ``json`` does not know in words that it does."""
    for way in ("isoformat", "tolist"):
        if hasattr(value, way):
            return getattr(value, way)()
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent to a page")


def _finite(value: Any) -> Any:
    """Replace what JSON has no word for: a browser would refuse the whole message."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value


def encode(value: Any) -> bytes:
    """Return JSON that every browser reads."""
    try:
        text = json.dumps(value, default=_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(json.loads(json.dumps(value, default=_plain))))
    return text.encode()


class WidgetSession:
    """One visitor's page: its comms and widgets, and the way to its browser."""

    def __init__(self, name: str, send: Callable[[ToPage], None]) -> None:
        self.name = name
        self.comms: dict[str, BaseComm] = {}
        self.widgets: dict[str, W.Widget] = {}
        self.parent = b"{}"
        self._send = send
        self._listens = False
        self._kinds: dict[str, Callable[[FromPage], None]] = {
            "comm_open": self._open,
            "comm_msg": self._message,
            "comm_close": self._close,
            "comm_info_request": self._info,
            "kernel_info_request": self._greet,
        }

    def tell(self, kind: str, content: Any, **more: Any) -> None:
        """Send a message to the page; before it has said a word nobody would hear it."""
        if self._listens:
            parts = {key: value for key, value in more.items() if value}
            if "metadata" in parts:
                parts["metadata"] = encode(parts["metadata"])
            self._send(
                ToPage(
                    session=self.name,
                    kind=kind,
                    content=encode(content),
                    parent=self.parent,
                    **parts,
                )
            )

    def take(self, said: FromPage) -> None:
        """Do what the page says."""
        self._listens = True
        self.parent = said.header
        self.tell("status", {"execution_state": "busy"})
        try:
            handle = self._kinds.get(said.kind)
            if handle is not None:
                handle(said)
        finally:
            # A front end sends the next change of a widget only when the last one is through.
            self.tell("status", {"execution_state": "idle"})

    def close(self) -> None:
        """Free all widgets; the page hears no more of it."""
        self._listens = False
        for widget in list(self.widgets.values()):
            widget.close()
        self.widgets.clear()
        self.comms.clear()

    def _open(self, said: FromPage) -> None:
        content = json.loads(said.content)
        name = content["comm_id"]
        # Widgets are made here and nowhere else: a page that could make some would have all
        # classes of the process to choose from, and its memory.
        if content.get("target_name") != CONTROL or name in self.comms:
            self.tell("comm_close", {"comm_id": name, "data": {}})
            return
        control = SessionComm(target_name=CONTROL, comm_id=name, primary=False)
        control.on_msg(lambda message: self._states(control, message["content"]["data"]))
        for other in [key for key, one in self.comms.items() if one.target_name == CONTROL]:
            self.comms.pop(other)._closed = True
        self.comms[name] = control

    def _states(self, control: BaseComm, data: Json) -> None:
        if data.get("method") != "request_states":
            return
        states = {
            name: {
                "model_name": widget._model_name,
                "model_module": widget._model_module,
                "model_module_version": widget._model_module_version,
                "state": widget.get_state(),
            }
            for name, widget in list(self.widgets.items())
        }
        states, paths, buffers = library._remove_buffers(states)
        told = {"method": "update_states", "states": states, "buffer_paths": paths}
        control.send(told, buffers=buffers)

    def _message(self, said: FromPage) -> None:
        content = json.loads(said.content)
        found = self.comms.get(content["comm_id"])
        state = content["data"].get("state")
        if isinstance(state, dict):
            content["data"]["state"] = {
                name: value
                for name, value in state.items()
                if name in MAY_SET and not (isinstance(value, list) and len(value) > LONGEST)
            }
        if found is not None:
            found.handle_msg({"content": content, "buffers": list(said.buffers)})

    def _close(self, said: FromPage) -> None:
        # A page may forget a widget; the place keeps it until it is left.
        name = json.loads(said.content)["comm_id"]
        found = self.comms.get(name)
        if found is not None and found.target_name == CONTROL:
            # Its end would otherwise be told to the page that has just ended it.
            found._closed = True
            del self.comms[name]

    def _info(self, said: FromPage) -> None:
        found = {name: {"target_name": one.target_name} for name, one in self.comms.items()}
        self.tell("comm_info_reply", {"status": "ok", "comms": found})

    def _greet(self, said: FromPage) -> None:
        language = {"name": "none", "mimetype": "text/plain", "file_extension": ".txt"}
        self.tell(
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


def here() -> WidgetSession:
    """Return the place that the running code works for; raises ``NoSessionError``."""
    found = CURRENT_SESSION.get()
    if found is None:
        raise NoSessionError(
            "No page session in this thread. Start threads with contextvars.copy_context().run."
        )
    return found


class SessionComm(BaseComm):
    """A comm of one place, from its making to its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.place = here()
        super().__init__(*args, **kwargs)

    def publish_msg(
        self,
        msg_type: str,
        data: Json | None = None,
        metadata: Json | None = None,
        buffers: list[bytes] | None = None,
        **keys: Any,
    ) -> None:
        content = {"comm_id": self.comm_id, "data": data or {}, **keys}
        raw = tuple(bytes(one) for one in buffers or ())
        self.place.tell(msg_type, content, metadata=metadata, buffers=raw)


class Comms(CommManager):
    """Puts comms where they belong."""

    def register_comm(self, comm: BaseComm) -> str:
        assert isinstance(comm, SessionComm)
        comm.place.comms[comm.comm_id] = comm
        return comm.comm_id

    def unregister_comm(self, comm: BaseComm) -> None:
        assert isinstance(comm, SessionComm)
        comm.place.comms.pop(comm.comm_id, None)


class Instances(MutableMapping[str, W.Widget]):
    """The library's table of widgets, as one place sees it."""

    def __init__(self) -> None:
        self._owners: dict[str, WidgetSession] = {}
        self._lock = threading.Lock()

    def _mine(self) -> dict[str, W.Widget]:
        place = CURRENT_SESSION.get()
        return place.widgets if place is not None else {}

    def __getitem__(self, name: str) -> W.Widget:
        return self._mine()[name]

    def __setitem__(self, name: str, widget: W.Widget) -> None:
        assert isinstance(widget.comm, SessionComm)
        with self._lock:
            self._owners[name] = widget.comm.place
        widget.comm.place.widgets[name] = widget

    def __delitem__(self, name: str) -> None:
        # Also the garbage collector closes widgets, in whatever context it happens to run.
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
        return iter(list(self._mine()))

    def __len__(self) -> int:
        return len(self._mine())


def install() -> None:
    """Make all widgets of this process belong to places from now on."""
    manager = Comms()
    comm.create_comm = SessionComm
    comm.get_comm_manager = lambda: manager
    library._instances = Instances()
