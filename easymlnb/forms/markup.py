"""Build HTML from parts that are always escaped."""

from collections.abc import Iterable
from html import escape as _escape

VOID = frozenset(("br", "img", "input"))
"""Elements without an end tag."""


class Markup(str):
    """HTML that is safe to display: built by ``element``, or cleaned by ``sanitize``."""

    __slots__ = ()


def escape(content: object) -> Markup:
    """Return content as HTML; everything but ``Markup`` is text."""
    return content if isinstance(content, Markup) else Markup(_escape(str(content)))


def join(parts: Iterable[object], separator: object = "") -> Markup:
    """Return parts as HTML, one after the other."""
    return Markup(escape(separator).join(map(escape, parts)))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return an element; ``"div.em-card.em-inputs"`` names its classes.

    Underscores in the names of attributes become dashes. ``True`` sets an attribute without a
    value; ``None`` and ``False`` leave an attribute out, ``None`` a child.
    """
    name, *classes = filter(None, tag.split("."))
    if classes:
        attributes = {"class": " ".join(classes), **attributes}
    written = "".join(
        f" {key.replace('_', '-')}" + ("" if value is True else f'="{_escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    content = join(child for child in children if child is not None)
    return Markup(f"<{name}{written}>" + ("" if name in VOID else f"{content}</{name}>"))


def button(label: object, action: str, value: object = None, tag: str = "button.em-link") -> Markup:
    """Return a button whose action the form's script performs, or passes on to the kernel."""
    return element(tag, label, type="button", data_em_action=action, data_em_value=value)
