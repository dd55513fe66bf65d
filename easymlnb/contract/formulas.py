"""Formulas in Markdown: LaTeX between dollar signs becomes MathML, which browsers draw themselves.

Without the packages that read them, formulas stay text.
"""

from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from easymlnb.contract import installation

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

TAGS = frozenset(
    ("math", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom",
     "mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup",
     "mtable", "mtd", "mtext", "mtr", "munder", "munderover")
)  # fmt: skip
"""Elements of MathML without links, scripts and embedded content."""

ATTRIBUTES = frozenset(
    ("display", "displaystyle", "fence", "form", "lspace", "mathvariant", "maxsize", "minsize",
     "movablelimits", "rspace", "scriptlevel", "separator", "stretchy", "symmetric", "width",
     "height", "depth", "linethickness", "columnalign", "rowspacing", "columnspacing")
)  # fmt: skip

LONGEST = 1000
"""Characters of a formula that is converted; a longer one stays text."""

NEEDED = ("latex2mathml", "mdit_py_plugins", "nh3")


def with_formulas(parser: "MarkdownIt") -> "MarkdownIt":
    """Return a parser of Markdown that also reads formulas."""
    if installation.missing(*NEEDED):
        return parser
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def render(tex: str, options: dict[str, Any]) -> str:
        return to_mathml(tex, block=bool(options.get("display_mode")))

    return parser.use(
        dollarmath_plugin,
        renderer=render,
        allow_labels=False,
        allow_space=False,
        allow_digits=False,
    )


@cache
def attributes() -> dict[str, set[str]]:
    """Return the attributes of MathML for ``nh3.clean``."""
    return {tag: set(ATTRIBUTES) for tag in TAGS}


def to_mathml(tex: str, *, block: bool = False) -> str:
    """Return a formula as clean MathML, or as text if it cannot be converted."""
    import nh3

    if len(tex) <= LONGEST:
        try:
            from latex2mathml.converter import convert

            found = convert(tex, display="block" if block else "inline")
            return nh3.clean(found, tags=set(TAGS), attributes=attributes())
        except Exception:
            pass  # its errors have no common base
    return f"<code>{escape(tex)}</code>"
