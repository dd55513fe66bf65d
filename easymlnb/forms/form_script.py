"""The script of a form: keys, labels for screen readers, and buttons inside HTML.

It is invisible and follows the form's part of the page. Elements with ``data-em-action`` name an
action; the script sends the actions that it does not perform itself to the kernel.
"""

from collections.abc import Callable
from typing import Any

from traitlets import Bool

from easymlnb.forms.esm_widget import EsmWidget

MAX_CHARACTERS = 100_000
"""Characters of a value that a page may send with an action."""

MAX_CHARACTERS_OF = {"history": 500_000}
"""The same for actions that need more."""

Action = Callable[[str], None]


class FormScript(EsmWidget):
    """The script of one form.

    ``app_page`` is true on a page of its own, which has an address to link to and keeps drafts,
    and false under a cell.
    """

    script_name = "form"
    app_page = Bool(False).tag(sync=True)

    def __init__(self, actions: dict[str, Action], *, app_page: bool = False) -> None:
        super().__init__(app_page=app_page)
        self._actions = actions
        self.add_class("em-script")

    def on_message(self, content: Any, buffers: list[Any]) -> None:
        message = content if isinstance(content, dict) else {}
        name, value = str(message.get("action")), message.get("value", "")
        limit = MAX_CHARACTERS_OF.get(name, MAX_CHARACTERS)
        if name in self._actions and isinstance(value, str) and len(value) <= limit:
            self._actions[name](value)

    def perform(self, action: str, **values: Any) -> None:
        """Have the script perform an action: ``draft``, ``link``, ``invalid``, ``result``, ..."""
        self.send({"action": action, **values})

    def save(self, name: str, media_type: str, data: bytes) -> None:
        """Offer the user a file as a download."""
        self.send({"action": "save", "name": name, "type": media_type}, [data])
