"""The interface between a form and whatever runs its calls."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from easymlnb.contract.errors import EasyMLNBError

Part = dict[str, Any]
"""One thing to look at: ``kind``, ``title``, ``data`` and more (see ``forms.results``)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the call is: ``fraction`` in 0..1, negative when unknown."""

    fraction: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The call has not begun: ``position`` calls are served before it, which takes ``seconds``.

    ``state`` says why nothing moves when it is not other calls: ``starting`` or ``asleep``;
    ``reason`` what the start waits for, in a sentence.
    """

    position: int | None = None
    seconds: float | None = None
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """More of what the call printed."""

    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a stream."""

    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The call's good end. ``parts`` is empty after a stream; a large ``result`` is left out."""

    parts: list[Part] = field(default_factory=list)
    seconds: float = 0.0
    request_id: str = ""
    result: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The call's bad end. ``trace`` only where the author looks: it is shown folded."""

    error: EasyMLNBError
    trace: str = ""


Event = Progress | Waiting | Log | Item | Succeeded | Failed


class Running(Protocol):
    """A call on its way."""

    def stop(self) -> None:
        """Ask it to end; it still answers with ``Succeeded`` or ``Failed``."""


class Caller(Protocol):
    """Runs calls for a form; implement it to use forms elsewhere."""

    def start(self, values: dict[str, Any], on: Callable[[Event], None]) -> Running:
        """Start a call with JSON values and return at once.

        Parameters
        ----------
        values : dict
            JSON values of the parameters.
        on : callable
            Receives events from any thread (``Waiting``, ``Progress``, ``Log``, ``Item``), and
            finally one ``Succeeded`` or ``Failed``. It returns at once.

        Returns
        -------
        Running
            ``stop()`` asks the call to end.
        """
