"""The messages of one page: which kinds are forwarded, and how many."""

import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from easymlnb.contract.page_protocol import FromPage, ToPage
from easymlnb_server.apps import jupyter_messages
from easymlnb_server.apps.sessions import PageSession

ALLOWED_KINDS = frozenset(
    {"comm_open", "comm_msg", "comm_close", "comm_info_request", "kernel_info_request"}
)
"""Kinds of messages that a page may send on the shell channel; others are dropped."""

MESSAGES_PER_SECOND = 100.0
MESSAGE_BURST = 500.0
"""A front end waits until each change of a widget is applied, so users stay below this rate."""

BYTES_PER_SECOND = 2.0 * 2**20
"""Files are uploaded separately, so pages send little."""

MAX_UNSENT = 64 * 2**20
"""Unsent bytes above which the connection of a slow page is closed; the page reconnects."""

log = logging.getLogger("easymlnb.apps")


class TooMuchError(Exception):
    """The page exceeded a rate limit."""


class TokenBucket:
    """A rate limit: ``rate`` tokens per second, at most ``size`` at once."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate = rate
        self._size = self._left = size
        self._at = time.monotonic()

    def acquire(self, amount: float) -> bool:
        """Take tokens; False if there are too few."""
        now = time.monotonic()
        self._left = min(self._size, self._left + (now - self._at) * self._rate)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


class Channel:
    """Translates between a page, in either of Jupyter's protocols, and its session."""

    def __init__(
        self,
        session: PageSession,
        write: Callable[[str | bytes], None],
        *,
        v1: bool,
        max_bytes: int,
    ) -> None:
        self.session = session
        self._write = write
        self._v1 = v1
        self._messages = TokenBucket(MESSAGES_PER_SECOND, MESSAGE_BURST)
        self._bytes = TokenBucket(BYTES_PER_SECOND, 4.0 * max_bytes)
        self._id = uuid.uuid4().hex
        self._count = 0

    def on_page_message(self, data: str | bytes) -> None:
        """Forward a message of the page if its kind is allowed.

        Raises ``TooMuchError``, and ``ValueError`` for an invalid message.
        """
        if not self._messages.acquire(1) or not self._bytes.acquire(len(data)):
            raise TooMuchError
        message = jupyter_messages.read(data, self._v1)
        if message.channel != "shell" or message.kind not in ALLOWED_KINDS:
            log.warning(
                "A page of %s sent an unexpected message %.40r on channel %.20r; it was dropped.",
                self.session.service,
                message.kind,
                message.channel,
            )
            return
        self.session.last_seen = time.monotonic()
        self.session.send(
            FromPage(
                kind=message.kind,
                header=message.header,
                content=message.content,
                metadata=message.metadata,
                buffers=message.buffers,
            )
        )

    def to_page(self, message: ToPage) -> None:
        """Send the page a message of its session."""
        self._count += 1
        header = {
            "msg_id": f"{self._id}_{self._count}",
            "msg_type": message.kind,
            "session": self._id,
            "username": "",
            "date": datetime.now(UTC).isoformat(),
            "version": "5.3",
        }
        sent = jupyter_messages.JupyterMessage(
            "shell" if message.kind.endswith("_reply") else "iopub",
            message.kind,
            msgspec.json.encode(header),
            message.parent,
            message.metadata,
            message.content,
            message.buffers,
        )
        self._write(jupyter_messages.write(sent, self._v1))
