"""Tagged cells become a page: what they showed, in order, and never their code."""

from typing import Any

import msgspec
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.publishing.page_from_cells import LIMIT, MOST, page, with_pages

FORM = {"part": "form"}


def code(*outputs: Any, tags: tuple[str, ...] = ("app",)) -> Any:
    return new_code_cell("SECRET = 1", outputs=list(outputs), metadata={"tags": list(tags)})


def prose(text: str, *tags: str, **more: Any) -> Any:
    return new_markdown_cell(text, metadata={"tags": list(tags or ("app",))}, **more)


def shows(**data: Any) -> Any:
    return new_output(
        "display_data", data={key.replace("_", "/"): one for key, one in data.items()}
    )


def rich(data: dict[str, Any]) -> Any:
    return new_output("display_data", data=data)


def book(*cells: Any) -> Any:
    return nbformat.v4.new_notebook(cells=list(cells))


def shown(*cells: Any) -> list[Any]:
    """Return the content of the page, without the form at the end."""
    made = page(book(*cells))
    assert made is not None
    assert made["column"][-1] == FORM
    return [one["static"] for one in made["column"][:-1]]


def test_a_notebook_without_tags_has_the_usual_page() -> None:
    assert page(book(prose("# Title", "skip"), code(shows(text_plain="1"), tags=()))) is None


def test_the_form_stands_below_the_cell_that_says_so_or_at_the_end() -> None:
    first, last = prose("before"), prose("after")
    below = {"kind": "markdown", "data": "here"}
    assert page(book(first, prose("here", "app-form"), last)) == {
        "column": [
            {"static": {"kind": "markdown", "data": "before"}},
            {"static": below},
            FORM,
            {"static": {"kind": "markdown", "data": "after"}},
        ]
    }
    assert page(book(code(tags=("app", "app-form")))) == {"column": [FORM]}
    two = page(book(prose("a", "app-form"), prose("b", "app-form")))
    assert two is not None
    assert two["column"].count(FORM) == 1
    assert [one["kind"] for one in shown(first, last)] == ["markdown", "markdown"]


def test_no_source_of_a_cell_is_taken() -> None:
    made = page(book(code(shows(text_plain="1")), prose("text")))
    assert b"SECRET" not in msgspec.json.encode(made)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (shows(text_plain="7"), {"kind": "text", "data": "7"}),
        (shows(text_plain="\x1b[31m7\x1b[0m\n"), {"kind": "text", "data": "7"}),
        (new_output("stream", name="stdout", text="said\n"), {"kind": "text", "data": "said"}),
        (new_output("stream", name="stderr", text="warned"), None),
        (new_output("error", ename="E", evalue="x", traceback=["secret"]), None),
        (
            shows(text_html="<table><tr><td>1</td></tr></table>", text_plain="df"),
            {"kind": "html", "data": "<table><tr><td>1</td></tr></table>"},
        ),
        (
            shows(text_html="<style>p{}</style><b>x</b><SCRIPT>y</script ><script>z"),
            {"kind": "html", "data": "<b>x</b>"},
        ),
        (shows(text_html="<div id=plot></div><script>draw()</script>", text_plain="Chart"), None),
        (shows(text_markdown="**x**"), {"kind": "markdown", "data": "**x**"}),
        (
            shows(image_png="aGk=\naGk=\n", text_plain="<Figure>"),
            {"kind": "image", "media_type": "image/png", "name": "figure", "data": "aGk=aGk="},
        ),
        (
            rich({"image/svg+xml": "<svg/>"}),
            {
                "kind": "image",
                "media_type": "image/svg+xml",
                "name": "figure",
                "data": "PHN2Zy8+",
            },
        ),
        (
            rich({"application/vnd.plotly.v1+json": {"data": [{"y": [1.0, float("nan")]}]}}),
            {"kind": "plotly", "data": {"data": [{"y": [1.0, None]}]}},
        ),
        (rich({"application/json": [1]}), {"kind": "json", "data": [1]}),
        (
            rich(
                {
                    "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
                    "text/plain": "IntSlider()",
                }
            ),
            None,
        ),
        (rich({}), None),
    ],
)
def test_outputs_become_parts_that_need_no_code(output: Any, expected: Any) -> None:
    assert shown(code(output)) == ([expected] if expected else [])


def test_pictures_dropped_into_markdown_come_along() -> None:
    dropped = {"attachments": {"a.png": {"image/png": "aGk="}, "b.x": {"text/html": "<b>"}}}
    (part,) = shown(prose("![a](attachment:a.png) ![b](attachment:b.x)", **dropped))
    assert part["data"] == "![a](data:image/png;base64,aGk=) ![b](attachment:b.x)"


def test_too_much_is_refused_with_the_cell() -> None:
    large = shows(text_plain="x" * (LIMIT // 2))
    with pytest.raises(
        DeploymentFailed, match="Cell 3 of the notebook exceeds the page's limits"
    ) as caught:
        page(book(code(large), prose("between", "other"), code(large)))
    assert caught.value.details == {"cell": 2, "source": "SECRET = 1", "traceback": ""}
    # What is only for the author, or a script, does not count.
    loads = shows(text_html=f"<script>{'x' * LIMIT}</script><b>here</b>")
    assert shown(code(large, tags=()), code(large), code(loads))[1]["data"] == "<b>here</b>"


def test_too_many_things_are_refused() -> None:
    one = shows(text_plain="x")
    assert len(shown(code(*[one] * MOST))) == MOST
    with pytest.raises(DeploymentFailed, match="Cell 2"):
        page(book(code(*[one] * MOST), code(one)))


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(
        DeploymentFailed, match="Cell 1 of the notebook has an output that cannot be displayed"
    ):
        page(book(code(shows(text_plain="\ud800"))))


def test_a_page_that_the_author_laid_out_stays() -> None:
    mine = ServiceSpec(name="a", title="A", input={}, output={}, app={"part": "inputs"})
    other = ServiceSpec(name="b", title="B", input={}, output={})
    notebook = book(prose("hello"))
    first, second = with_pages([mine, other], notebook)
    assert first is mine
    assert second.app == page(notebook)
    huge = book(code(shows(text_plain="x" * LIMIT)))
    assert with_pages([mine], huge) == [mine]
    assert with_pages([other], book()) == [other]
