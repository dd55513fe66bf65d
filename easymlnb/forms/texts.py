"""Text of authors and callers as HTML that can do nothing: no script, no style, no request."""

from functools import cache
from typing import Any

import nh3


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


LOADED = frozenset(("src", "srcset", "background", "poster", "data"))
"""Attributes whose value a browser loads by itself, without a click."""


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Keep pictures that are inside the text, and links that lead to pages."""
    if name in LOADED:
        return value if name == "src" and value.startswith("data:image/") else None
    return None if value.strip().lower().startswith("data:") else value


def clean(html: str) -> str:
    """Return HTML without anything that runs, restyles the page or fetches on its own."""
    return nh3.clean(
        html,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer",
    )


def markdown(text: str) -> str:
    """Return Markdown as clean HTML."""
    return clean(_markdown().render(text))
