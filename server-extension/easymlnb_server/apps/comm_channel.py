"""The WebSocket of one page: which messages pass, and how many."""

import json
import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from easymlnb.contract.page_protocol import FromPage, ToPage
from easymlnb_server.apps import jupyter_messages
from easymlnb_server.apps.sessions import PageSession

MAY_SAY = frozenset(
    {"comm_open", "comm_msg", "comm_close", "comm_info_request", "kernel_info_request"}
)
"""Kinds of messages that a page may send, on the shell channel. All others are dropped."""

MESSAGES_PER_SECOND = 100.0
MESSAGES_AT_ONCE = 500.0
"""A front end waits for each change of a widget to be taken; no hand moves faster than this."""

BYTES_PER_SECOND = 2.0 * 2**20
"""Files go another way, so a page has little to say."""

BEHIND = 64 * 2**20
"""Bytes that may wait for a slow page before its connection is cut; it comes back and asks anew."""

log = logging.getLogger("easymlnb.apps")


class TooMuchError(Exception):
    """The page sends more than it may, or takes less than it must."""


class TokenBucket:
    """What may flow: ``rate`` per second, and ``size`` at once."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate = rate
        self._size = self._left = size
        self._at = time.monotonic()

    def take(self, amount: float) -> bool:
        """Let so much pass, or say that it is too much."""
        now = time.monotonic()
        self._left = min(self._size, self._left + (now - self._at) * self._rate)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


class Channel:
    """Speaks Jupyter's protocol with the page, whichever of the two it chose."""

    def __init__(
        self, place: PageSession, write: Callable[[str | bytes], None], *, v1: bool, most: int
    ) -> None:
        self.place = place
        self._write = write
        self._v1 = v1
        self._messages = TokenBucket(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE)
        self._bytes = TokenBucket(BYTES_PER_SECOND, 4.0 * most)
        self._session = uuid.uuid4().hex
        self._count = 0

    def take(self, data: str | bytes) -> None:
        """Pass on what the page says, if it may.

        Raises ``TooMuchError``, and ``ValueError`` for what is no message at all.
        """
        if not self._messages.take(1) or not self._bytes.take(len(data)):
            raise TooMuchError
        said = jupyter_messages.read(data, self._v1)
        if said.channel != "shell" or said.kind not in MAY_SAY:
            log.warning(
                "A page of %s sent an unexpected message %.40r on channel %.20r; it was dropped.",
                self.place.service,
                said.kind,
                said.channel,
            )
            return
        self.place.seen = time.monotonic()
        self.place.say(
            FromPage(
                kind=said.kind,
                header=said.header,
                content=said.content,
                metadata=said.metadata,
                buffers=said.buffers,
            )
        )

    def hear(self, told: ToPage) -> None:
        """Write what the place says to the page."""
        self._count += 1
        header = {
            "msg_id": f"{self._session}_{self._count}",
            "msg_type": told.kind,
            "session": self._session,
            "username": "",
            "date": datetime.now(UTC).isoformat(),
            "version": "5.3",
        }
        message = jupyter_messages.Message(
            "shell" if told.kind.endswith("_reply") else "iopub",
            told.kind,
            json.dumps(header).encode(),
            told.parent,
            told.metadata,
            told.content,
            told.buffers,
        )
        self._write(jupyter_messages.write(message, self._v1))
