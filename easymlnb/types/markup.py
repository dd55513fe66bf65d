"""HTML and Markdown as results, shown without scripts and external content."""

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from easymlnb.contract import formulas, installation
from easymlnb.types.base import KEY, Type

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

PICTURES = ("data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp")


LOADED = frozenset(("src", "srcset", "background", "poster", "data"))
"""Attributes whose value a browser loads automatically."""


def clean(html: str) -> str:
    """Return HTML without scripts, styles, frames, forms, event handlers and external pictures."""
    installation.require("HTML or Markdown as a result", "nh3")
    import nh3

    return nh3.clean(
        html,
        tags=nh3.ALLOWED_TAGS | formulas.TAGS,
        attributes={**nh3.ALLOWED_ATTRIBUTES, **formulas.attributes(), "*": {"class", "title"}},
        url_schemes=nh3.ALLOWED_URL_SCHEMES | {"data"},
        attribute_filter=_attribute,
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Allow ``data:`` only for the picture of an ``img``, and no other content to load."""
    if name in LOADED:
        picture = tag == "img" and name == "src" and value.lower().startswith(PICTURES)
        return value if picture else None
    return None if value.strip().lower().startswith("data:") else value


@functools.cache
def _renderer() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return formulas.with_formulas(parser)


def to_html(markdown: str) -> str:
    """Return Markdown rendered to clean HTML, with formulas as MathML."""
    return clean(_renderer().render(markdown))


class HTML(str):
    """HTML to show: ``def report() -> ml.HTML: return ml.HTML("<b>42</b>")``.

    What is shown contains no scripts and loads nothing from other hosts.
    """

    __slots__ = ()

    @classmethod
    def __easymlnb_type__(cls) -> "Type":
        return HtmlType()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        schema: CoreSchema = cls.__easymlnb_type__().__get_pydantic_core_schema__(source, handler)
        return schema

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: "CoreSchema", handler: "GetJsonSchemaHandler"
    ) -> dict[str, Any]:
        marker = cls.__easymlnb_type__()
        json_schema: dict[str, Any] = marker.__get_pydantic_json_schema__(schema, handler)
        return json_schema


class Markdown(HTML):
    """Markdown to show, with tables; HTML in it is cleaned."""

    __slots__ = ()

    @classmethod
    def __easymlnb_type__(cls) -> "Type":
        return MarkdownType()


class HtmlType(Type):
    """The encoding of ``HTML``: cleaned text."""

    source = HTML
    natives: ClassVar[tuple[str, ...]] = ("easymlnb.types.markup.HTML", "IPython.core.display.HTML")
    needs: ClassVar[tuple[str, ...]] = ("nh3",)
    writes: tuple[str, ...] = ("text/html",)
    widget = "html"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": self.writes[0], KEY: {"widget": self.widget}}

    def text(self, value: Any) -> str:
        """Return the markup, also of IPython's display objects."""
        text = value if isinstance(value, str) else getattr(value, "data", None)
        if not isinstance(text, str):
            raise ValueError(f"{type(value).__name__} is not {self.widget}")
        return str(text)

    def decode(self, value: Any, source: Any) -> Any:
        try:
            text = self.text(value)
        except ValueError:
            raise ValueError("The value must be a string.") from None
        return source(text) if isinstance(source, type) and issubclass(source, str) else text

    def encode(self, value: Any) -> Any:
        return clean(self.text(value))

    def write(self, value: Any, media_type: str) -> bytes:
        return str(self.encode(value)).encode()

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        return [{"kind": "html", "title": title, "data": clean(self.text(value))}]


class MarkdownType(HtmlType):
    """The encoding of ``Markdown``: its text, which views render and clean."""

    source = Markdown
    natives: ClassVar[tuple[str, ...]] = (
        "easymlnb.types.markup.Markdown",
        "IPython.core.display.Markdown",
    )
    writes: tuple[str, ...] = ("text/markdown", "text/html")
    widget = "markdown"

    def encode(self, value: Any) -> Any:
        return self.text(value)

    def write(self, value: Any, media_type: str) -> bytes:
        text = self.text(value)
        return (to_html(text) if media_type == "text/html" else text).encode()

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        text = self.text(value)
        return [{"kind": "markdown", "title": title, "data": text, "more": {"html": to_html(text)}}]
