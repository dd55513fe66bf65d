"""Text of authors and callers as HTML that can do nothing: no script, no style, no request."""

from functools import cache
from typing import Any

import nh3


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Keep pictures that are inside the text, and links that lead to pages."""
    if name == "src":
        return value if value.startswith("data:image/") else None
    if name == "href":
        return None if value.startswith("data:") else value
    return value


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
