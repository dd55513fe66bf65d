"""HTML and Markdown of authors and callers without scripts, styles and requests."""

from functools import cache
from typing import Any

from easymlnb.contract import formulas, installation
from easymlnb.forms.markup import Markup, element

LOADED = frozenset(("src", "srcset", "background", "poster", "data"))
"""Attributes whose value a browser loads without a click."""


@cache
def _renderer(*, addresses: bool) -> Any:
    """Return what renders Markdown. Without ``addresses``, links and pictures stay text."""
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    formulas.with_formulas(made)
    return made if addresses else made.disable(["link", "image", "autolink"])


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Keep pictures that are part of the text, and links to pages."""
    if name in LOADED:
        return value if name == "src" and value.startswith("data:image/") else None
    return None if value.strip().lower().startswith("data:") else value


def clean(html: str) -> Markup:
    """Return HTML without anything that runs, changes the page's style or sends requests.

    If nh3, which cleans it, is not installed, the result is a message that says so.
    """
    if packages := installation.missing("nh3"):
        return element("p", installation.install_hint("To show HTML, this form", *packages))
    import nh3

    return Markup(
        nh3.clean(
            html,
            tags=nh3.ALLOWED_TAGS | formulas.TAGS,
            attributes={**nh3.ALLOWED_ATTRIBUTES, **formulas.attributes()},
            attribute_filter=_attribute,
            url_schemes={"http", "https", "mailto", "data"},
            link_rel="noopener noreferrer",
        )
    )


def markdown(text: str) -> Markup:
    """Return Markdown as clean HTML; without nh3 its links and pictures stay text."""
    if installation.missing("nh3"):
        return Markup(_renderer(addresses=False).render(text))
    return clean(_renderer(addresses=True).render(text))
