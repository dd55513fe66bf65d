"""Formulas in Markdown."""

import pytest

from easymlnb.contract.formulas import LONGEST, to_mathml
from easymlnb.forms.sanitize import markdown
from easymlnb.types.markup import to_html
from easymlnb_server.http import pages


@pytest.mark.parametrize("render", [markdown, to_html, pages.markdown])
def test_formulas_become_mathml(render) -> None:
    text = render("The area $\\pi r^2$ costs $5 or $6.\n\n$$\\frac{1}{2}$$")
    assert '<math display="inline"><mrow><mi>\u03c0</mi>' in text
    assert '<math display="block">' in text and "<mfrac>" in text
    assert "costs $5 or $6" in text


@pytest.mark.parametrize("render", [markdown, to_html, pages.markdown])
@pytest.mark.parametrize(
    "tex",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\text{<img src=x onerror=alert(1)>}",
        r"</math><script>alert(1)</script>",
        r"\style{background:url(//x)}{y}",
    ],
)
def test_formulas_are_inert(render, tex: str) -> None:
    text = render(f"${tex}$")
    for forbidden in ("<script", "<img", "href=", "style=", "onerror=a"):
        assert forbidden not in text.replace("&lt;img src=x onerror=a", "")


def test_formula_that_cannot_be_read_stays_text() -> None:
    assert to_mathml("x" * (LONGEST + 1)).startswith("<code>xxx")
    assert "<code>" in to_mathml(r"\left( x") or "<math" in to_mathml(r"\left( x")
