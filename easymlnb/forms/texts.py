"""Text of authors and callers as HTML that can do nothing: no script, no style, no request."""

from functools import cache
from html import escape
from typing import Any

from easymlnb.contract import installation


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@cache
def _without_addresses() -> Any:
    """Return what renders Markdown to tags of its own only, where nothing cleans them."""
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return made.disable(["link", "image", "autolink"])


LOADED = frozenset(("src", "srcset", "background", "poster", "data"))
"""Attributes whose value a browser loads by itself, without a click."""


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Keep pictures that are inside the text, and links that lead to pages."""
    if name in LOADED:
        return value if name == "src" and value.startswith("data:image/") else None
    return None if value.strip().lower().startswith("data:") else value


def clean(html: str) -> str:
    """Return HTML without anything that runs, restyles the page or fetches on its own.

    Without nh3, which cleans it, a sentence stands in its place.
    """
    if packages := installation.missing("nh3"):
        return f"<p>{escape(installation.install_hint('To show HTML, this form', *packages))}</p>"
    import nh3

    return nh3.clean(
        html,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer",
    )


def markdown(text: str) -> str:
    """Return Markdown as clean HTML; without nh3 its links and pictures stay text."""
    if installation.missing("nh3"):
        return str(_without_addresses().render(text))
    return clean(_markdown().render(text))
