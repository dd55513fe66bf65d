"""Which cell and line a traceback points to."""

import nbformat
import pytest

from easymlnb_server.workers.cell_lines import final_exception, line_in_cell, locate

HELPER = "import math\n\ndef half(x):\n    return x / 0"
SERVICE = "@ml.service\ndef half_of(x: int) -> float:\n    y = half(x)\n    return y"


def notebook(*cells: str) -> nbformat.NotebookNode:
    made = nbformat.v4.new_notebook()
    made.cells = [
        nbformat.v4.new_markdown_cell("    return x / 0"),
        *map(nbformat.v4.new_code_cell, cells),
    ]
    return made


def trace(*frames: tuple[str, int, str, str]) -> str:
    shown = [
        f'  File "{file}", line {line}, in {name}\n    {text}\n'
        for file, line, name, text in frames
    ]
    return "Traceback (most recent call last):\n" + "".join(shown) + "ZeroDivisionError: no\n"


OUTER = ("/tmp/ipykernel_7/11.py", 3, "half_of", "y = half(x)")
INNER = ("/tmp/ipykernel_7/22.py", 4, "half", "return x / 0")
LIBRARY = ("/lib/python3/site-packages/pandas/core.py", 99, "div", "return a / b")


@pytest.mark.parametrize(
    ("frames", "found"),
    [
        ([OUTER, INNER], (1, 4)),
        ([OUTER, LIBRARY], (2, 3)),
        ([OUTER, ("/tmp/ipykernel_7/22.py", 4, "other", "return x / 0")], (2, 3)),
        ([LIBRARY], None),
        ([("x", 10**30, "half", "return x / 0")], None),
        ([], None),
    ],
)
def test_innermost_line_of_a_cell_is_found(
    frames: list[tuple[str, int, str, str]], found: tuple[int, int] | None
) -> None:
    assert locate(notebook(HELPER, SERVICE), trace(*frames)) == found


def test_line_of_a_failed_cell_is_that_of_its_own_frame() -> None:
    cell = nbformat.v4.new_code_cell("x = 1\nhalf(x)", execution_count=3)
    shown = "Cell In[3], line 2\n----> 2 half(x)\n\nCell In[1], line 4, in half(x)\nno"
    assert line_in_cell(cell, shown) == 2
    assert line_in_cell(cell, "Cell In[1], line 4") is None


def test_ending_of_a_traceback_is_the_exception_with_its_notes() -> None:
    assert final_exception(trace(OUTER, INNER)) == "ZeroDivisionError: no"
    assert final_exception(trace(INNER) + "A note.\n  Its second line.\n") == (
        "ZeroDivisionError: no\nA note.\n  Its second line."
    )
    assert final_exception("no traceback") == final_exception("") == ""
