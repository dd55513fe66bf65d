"""No block of six lines of code stands in two places of the packages.

Imports, docstrings, signatures and the fields of classes do not count: two of them may have to be
alike. Neither do lines without a letter or digit.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "easymlnb", ROOT / "server-extension/easymlnb_server")
MIN_LINES = 6


def test_no_block_of_code_stands_twice() -> None:
    paths = [path for folder in PACKAGES for path in sorted(folder.rglob("*.py"))]
    twice = duplicates({str(path.relative_to(ROOT)): path.read_text() for path in paths})
    assert not twice, "Share this code:\n" + "\n".join(twice)


def test_a_duplicate_is_found() -> None:
    block = "def {}({}):\n" + "".join(f"    step_{at}(a)\n" for at in range(MIN_LINES))
    assert duplicates({"a.py": block.format("f", "a"), "b.py": block.format("g", "a, b")}) == [
        "a.py:2 ~ b.py:2"
    ]
    shorter = "".join(block.splitlines(keepends=True)[:-1]).format("f", "a")
    assert not duplicates({"a.py": shorter, "b.py": shorter})


def duplicates(sources: dict[str, str]) -> list[str]:
    """Return the first line of both places of each block that stands in two places."""
    places = defaultdict(list)
    for path, source in sources.items():
        lines = list(code_lines(source))
        for at in range(len(lines) - MIN_LINES + 1):
            block = lines[at : at + MIN_LINES]
            places[tuple(text for _, text in block)].append(f"{path}:{block[0][0]}")
    return [" ~ ".join(found) for found in places.values() if len(found) > 1]


def code_lines(source: str) -> Iterator[tuple[int, str]]:
    """Yield the numbers and texts of the lines that count."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                first = min(one.lineno for one in (node, *node.decorator_list))
                skipped.update(range(first, node.body[0].lineno))
            case (
                ast.Import()
                | ast.ImportFrom()
                | ast.Expr(value=ast.Constant())
                | ast.AnnAssign(value=None)
            ):
                skipped.update(range(node.lineno, (node.end_lineno or 0) + 1))
    for number, line in enumerate(source.splitlines(), 1):
        text = " ".join(line.split())
        if number not in skipped and re.search(r"\w", text) and not text.startswith("#"):
            yield number, text
