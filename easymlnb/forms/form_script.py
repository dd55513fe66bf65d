"""What a form does beside its widgets: keys, names for screen readers, buttons inside HTML.

One unseen script watches the form's part of the page. Elements with ``data-em-do`` tell it what
to do; what it cannot do by itself it asks of the kernel, by that name.
"""

from collections.abc import Callable
from typing import Any

from traitlets import Unicode

from easymlnb.forms.esm_widget import EsmWidget

LONGEST = 100_000
"""Characters of a value that a page may send with an action."""

LONGER = {"history": 500_000}
"""The same for actions that need more."""

Act = Callable[[str], None]


class FormScript(EsmWidget):
    """The unseen script of one form.

    ``place`` is ``app`` on a page of its own, which has an address to link to and keeps drafts,
    and ``cell`` under a cell.
    """

    script_name = "desk"
    place = Unicode("cell").tag(sync=True)

    def __init__(self, acts: dict[str, Act], *, place: str = "cell") -> None:
        super().__init__(place=place)
        self._acts = acts
        self.add_class("em-desk")

    def said(self, content: Any, buffers: list[Any]) -> None:
        found = content if isinstance(content, dict) else {}
        act = self._acts.get(str(found.get("do")))
        value = found.get("value", "")
        most = LONGER.get(str(found.get("do")), LONGEST)
        if act is not None and isinstance(value, str) and len(value) <= most:
            act(value)

    def tell(self, what: str, **values: Any) -> None:
        """Have the script do something, such as ``draft``, ``link``, ``wrong``, ``arrived``."""
        self.send({"tell": what, **values})

    def save(self, name: str, media_type: str, data: bytes) -> None:
        """Hand a file to the person."""
        self.send({"tell": "save", "name": name, "type": media_type}, [data])
