"""The interface of all kinds of sources."""

from collections.abc import Callable, Iterator
from typing import Protocol

from easymlnb_server.storage_events.models import FileOutcome, Found, TakenFile


class NotComplete(Exception):
    """The file changed while it was read; it is read again later."""


class Gone(Exception):
    """The file is no longer there."""


class Place(Protocol):
    """Where files come from and results go to. All methods but ``watch`` block."""

    @property
    def pause(self) -> float:
        """Seconds until the next check."""

    def open(self) -> None:
        """Prepare, unless that is done; raises ``EasyMLNBError`` or ``OSError``."""

    def close(self) -> None:
        """Give up what ``open`` took."""

    async def watch(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` when something may be new; return if nothing will do so."""

    def find(self, most: int) -> list[Found]:
        """Claim at most the given number of new files; return all claims that are not confirmed."""

    def confirm(self, found: list[Found]) -> None:
        """Note that these files are in the database."""

    def read(self, item: TakenFile) -> Iterator[bytes]:
        """Yield the content; raises ``NotComplete`` or ``Gone``."""

    def target(self, item: TakenFile) -> str:
        """Return a free name for the input and the result."""

    def finish(self, item: TakenFile, outcome: FileOutcome, content: Iterator[bytes]) -> None:
        """Write the result; may be repeated. The file is not taken again afterwards."""
