"""A stand-in for a kernel whose node is not ready: it shows in the first cell what it waits for.

Clients see a kernel that is up and busy. Their messages are held for the real one.
"""

import sys
from collections.abc import Callable
from typing import Any

from jupyter_client.session import Session

Parts = list[bytes]
Send = Callable[[str, Parts], None]
"""Sends a message on a channel, as a kernel would."""

MAX_HELD = 64 * 2**20
"""Bytes of messages that are held for the kernel; after that no more are read."""


class WaitingKernel:
    """Answers clients of a kernel that has not started yet.

    session: signs as the kernel will.
    language: the kernel's language.
    on_shutdown: called when a client shuts the kernel down.
    """

    def __init__(
        self, session: Session, language: str, send: Send, on_shutdown: Callable[[], None]
    ) -> None:
        self._session = session
        self._language = language
        self._send = send
        self._on_shutdown = on_shutdown
        self._progress = ""
        self._failure = ""
        self._cells: list[tuple[Parts, dict[str, Any]]] = []
        self._held: list[tuple[str, Parts]] = []
        self._size = 0

    def receive(self, channel: str, parts: Parts) -> bool:
        """Handle a client's message; ``False``: read no more for now."""
        try:
            identity, rest = self._session.feed_identities(parts)
            message = self._session.deserialize(rest)
        except (ValueError, TypeError, KeyError, IndexError):
            return True  # the kernel would not accept it either
        kind = message["header"]["msg_type"]
        if kind == "kernel_info_request":
            self._busy(message, lambda: self._reply(channel, identity, message, self._info()))
        elif kind == "shutdown_request":
            self._reply(channel, identity, message, {**message["content"], "status": "ok"})
            self._on_shutdown()
        elif kind == "interrupt_request":
            self.interrupt()
            self._reply(channel, identity, message, {"status": "ok"})
        elif kind == "execute_request" and self._failure:
            self._refuse(identity, message, "NodeError", self._failure)
        else:
            self._held.append((channel, parts))
            self._size += sum(map(len, parts))
            if kind == "execute_request":
                self._cells.append((identity, message))
                if len(self._cells) == 1:
                    self._publish("status", {"execution_state": "busy"}, message)
                    self._show_progress()
        return self._size < MAX_HELD

    def on_progress(self, text: str) -> None:
        """Show what the kernel waits for under the first cell."""
        if text != self._progress:
            self._progress = text
            self._show_progress()

    def interrupt(self) -> None:
        """End the cells that wait."""
        self._end_cells("KeyboardInterrupt", "")

    def fail(self, text: str) -> None:
        """Refuse the cells that wait, and all later ones."""
        self._failure = f"{text} Restart the kernel to try again."
        self._end_cells("NodeError", self._failure)

    def take_over(self) -> list[tuple[str, Parts]]:
        """Return the held messages, for the real kernel."""
        if self._cells:
            self._publish("clear_output", {"wait": False}, self._cells[0][1])
        self._cells.clear()
        held, self._held = self._held, []
        return held

    def _show_progress(self) -> None:
        if self._cells and self._progress:
            parent = self._cells[0][1]
            self._publish("clear_output", {"wait": True}, parent)
            self._publish("stream", {"name": "stderr", "text": f"{self._progress}\n"}, parent)

    def _end_cells(self, name: str, value: str) -> None:
        cells, self._cells = self._cells, []
        ended = {message["header"]["msg_id"] for _, message in cells}
        self._held = [held for held in self._held if self._id(held[1]) not in ended]
        for identity, message in cells:
            self._refuse(identity, message, name, value)

    def _id(self, parts: Parts) -> str:
        _, rest = self._session.feed_identities(parts)
        return str(self._session.unpack(rest[1])["msg_id"])

    def _busy(self, parent: dict[str, Any], work: Callable[[], None]) -> None:
        self._publish("status", {"execution_state": "busy"}, parent)
        work()
        self._publish("status", {"execution_state": "idle"}, parent)

    def _refuse(self, identity: Parts, message: dict[str, Any], name: str, value: str) -> None:
        error = {"ename": name, "evalue": value, "traceback": [f"{name}: {value}".rstrip(": ")]}
        reply = {**error, "status": "error", "execution_count": 0}

        def refuse() -> None:
            self._publish("error", error, message)
            self._reply("shell", identity, message, reply)

        self._busy(message, refuse)

    def _info(self) -> dict[str, Any]:
        language: dict[str, Any] = dict.fromkeys(("version", "mimetype", "file_extension"), "")
        if self._language == "python":
            language = {
                "version": ".".join(map(str, sys.version_info[:3])),
                "mimetype": "text/x-python",
                "codemirror_mode": {"name": "ipython", "version": sys.version_info[0]},
                "pygments_lexer": "ipython3",
                "nbconvert_exporter": "python",
                "file_extension": ".py",
            }
        return {
            "status": "ok",
            "protocol_version": "5.3",
            "implementation": "easymlnb",
            "implementation_version": "",
            "language_info": {"name": self._language, **language},
            "banner": "The kernel is waiting for its node.",
            "help_links": [],
        }

    def _reply(
        self, channel: str, identity: Parts, parent: dict[str, Any], content: dict[str, Any]
    ) -> None:
        kind = parent["header"]["msg_type"].replace("_request", "_reply")
        message = self._session.msg(kind, content, parent=parent)
        self._send(channel, self._session.serialize(message, identity))

    def _publish(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        message = self._session.msg(kind, content, parent=parent)
        self._send("iopub", self._session.serialize(message, [kind.encode()]))
