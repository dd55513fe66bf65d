"""What stands in for a kernel while its node is waited for: it tells those who run cells for what.

Clients see a kernel that is up and busy. What they send is kept for the real one.
"""

import sys
from collections.abc import Callable
from typing import Any

from jupyter_client.session import Session

Parts = list[bytes]
Send = Callable[[str, Parts], None]
"""Sends a message on a channel, as a kernel would."""

ROOM = 64 * 2**20
"""Bytes that are kept for the kernel; more is refused by not reading on."""


class Lobby:
    """Answers clients of a kernel that is not there yet.

    ``session`` signs as the kernel will, ``language`` is what it speaks. ``leave`` is called when
    somebody shuts it down.
    """

    def __init__(
        self, session: Session, language: str, send: Send, leave: Callable[[], None]
    ) -> None:
        self._session = session
        self._language = language
        self._send = send
        self._leave = leave
        self._text = ""
        self._failure = ""
        self._cells: list[tuple[Parts, dict[str, Any]]] = []
        self._kept: list[tuple[str, Parts]] = []
        self._size = 0

    def take(self, channel: str, parts: Parts) -> bool:
        """Take a message of a client; ``False``: no more for now."""
        try:
            to, rest = self._session.feed_identities(parts)
            message = self._session.deserialize(rest)
        except (ValueError, TypeError, KeyError, IndexError):
            return True  # the kernel would not take it either
        kind = message["header"]["msg_type"]
        if kind == "kernel_info_request":
            self._around(message, lambda: self._reply(channel, to, message, self._info()))
        elif kind == "shutdown_request":
            self._reply(channel, to, message, {**message["content"], "status": "ok"})
            self._leave()
        elif kind == "interrupt_request":
            self.interrupt()
            self._reply(channel, to, message, {"status": "ok"})
        elif kind == "execute_request" and self._failure:
            self._around(message, lambda: self._refuse(to, message, "NodeError", self._failure))
        else:
            self._keep(channel, parts)
            if kind == "execute_request":
                self._cells.append((to, message))
                if len(self._cells) == 1:
                    self._begin()
        return self._size < ROOM

    def tell(self, text: str) -> None:
        """Say what is waited for, under the cell that was run first."""
        if text != self._text:
            self._text = text
            self._show()

    def interrupt(self) -> None:
        """End the cells that wait."""
        self._end_cells("KeyboardInterrupt", "")

    def fail(self, text: str) -> None:
        """Say from now on why there is no kernel."""
        self._failure = f"{text} Restart the kernel to try again."
        self._end_cells("NodeError", self._failure)

    def open(self) -> list[tuple[str, Parts]]:
        """The kernel is there: return what it was sent meanwhile."""
        if self._cells:
            self._say("clear_output", {"wait": False}, self._cells[0][1])
        self._cells.clear()
        kept, self._kept = self._kept, []
        return kept

    def _keep(self, channel: str, parts: Parts) -> None:
        self._kept.append((channel, parts))
        self._size += sum(map(len, parts))

    def _begin(self) -> None:
        self._say("status", {"execution_state": "busy"}, self._cells[0][1])
        self._show()

    def _show(self) -> None:
        if self._cells and self._text:
            parent = self._cells[0][1]
            self._say("clear_output", {"wait": True}, parent)
            self._say("stream", {"name": "stderr", "text": f"{self._text}\n"}, parent)

    def _end_cells(self, name: str, value: str) -> None:
        cells, self._cells = self._cells, []
        ended = {message["header"]["msg_id"] for _, message in cells}
        self._kept = [one for one in self._kept if self._id(one[1]) not in ended]
        for to, message in cells:
            self._around(message, lambda to=to, m=message: self._refuse(to, m, name, value))  # type: ignore[misc]

    def _id(self, parts: Parts) -> str:
        _, rest = self._session.feed_identities(parts)
        return str(self._session.unpack(rest[1])["msg_id"])

    def _around(self, parent: dict[str, Any], work: Callable[[], None]) -> None:
        self._say("status", {"execution_state": "busy"}, parent)
        work()
        self._say("status", {"execution_state": "idle"}, parent)

    def _refuse(self, to: Parts, message: dict[str, Any], name: str, value: str) -> None:
        error = {"ename": name, "evalue": value, "traceback": [f"{name}: {value}".rstrip(": ")]}
        self._say("error", error, message)
        self._reply("shell", to, message, {**error, "status": "error", "execution_count": 0})

    def _info(self) -> dict[str, Any]:
        speaks: dict[str, Any] = {
            "name": self._language,
            "version": "",
            "mimetype": "",
            "file_extension": "",
        }
        if self._language == "python":
            version = ".".join(map(str, sys.version_info[:3]))
            mode = {"name": "ipython", "version": sys.version_info[0]}
            speaks = {
                "name": "python",
                "version": version,
                "mimetype": "text/x-python",
                "codemirror_mode": mode,
                "pygments_lexer": "ipython3",
                "nbconvert_exporter": "python",
                "file_extension": ".py",
            }
        return {
            "status": "ok",
            "protocol_version": "5.3",
            "implementation": "easymlnb",
            "implementation_version": "",
            "language_info": speaks,
            "banner": "The kernel is waiting for its node.",
            "help_links": [],
        }

    def _reply(
        self, channel: str, to: Parts, parent: dict[str, Any], content: dict[str, Any]
    ) -> None:
        kind = parent["header"]["msg_type"].replace("_request", "_reply")
        made = self._session.msg(kind, content, parent=parent)
        self._send(channel, self._session.serialize(made, to))

    def _say(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        made = self._session.msg(kind, content, parent=parent)
        self._send("iopub", self._session.serialize(made, [kind.encode()]))
