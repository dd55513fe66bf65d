"""Long lists of numbers in code, for which tools that look at each node need minutes."""

import ast
from collections.abc import Sequence
from dataclasses import replace

from easymlnb.publishing.gate.sources import SourceFile

MANY = 500
"""Numbers in one list, with those of lists inside it."""

Display = ast.List | ast.Tuple | ast.Set | ast.Dict
Counts = dict[Display, int | None]


def without_numbers(source: SourceFile) -> SourceFile:
    """Return a source with the same lines in which long lists of numbers are empty."""
    text = "\n".join(source.lines)
    if text.count(",") < MANY:
        return source
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    lines = [line.encode(errors="surrogatepass") for line in source.lines]
    found = sorted(_long_lists(tree), key=lambda one: (one.lineno, one.col_offset), reverse=True)
    for node in found:  # from the end, so that the columns of the others stay
        _empty(lines, node)
    return replace(source, lines=tuple(one.decode(errors="surrogatepass") for one in lines))


def _long_lists(tree: ast.AST) -> list[Display]:
    """Return the outermost lists, tuples, sets and dicts with many numbers and nothing else."""
    found: list[Display] = []
    known: Counts = {}
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, Display) and (_numbers(node, known) or 0) > MANY:
            found.append(node)
        else:
            left += ast.iter_child_nodes(node)
    return found


def _numbers(node: ast.expr | None, known: Counts) -> int | None:
    """Return how many numbers an expression has; ``None`` if it has anything else.

    ``known`` has those of inner lists, which are counted once.
    """
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.Constant):
        return None if isinstance(node.value, str | bytes) else 1
    if not isinstance(node, Display):
        return None
    if node not in known:
        known[node] = _sum(node, known)
    return known[node]


def _sum(node: Display, known: Counts) -> int | None:
    parts: Sequence[ast.expr | None] = (
        [*node.keys, *node.values] if isinstance(node, ast.Dict) else node.elts
    )
    total = 0
    for part in parts:
        count = _numbers(part, known)
        if count is None:
            return None
        total += count
    return total


def _empty(lines: list[bytes], node: Display) -> None:
    """Remove what is between the brackets of an expression; its lines stay, as empty ones."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    first, last = node.lineno - 1, node.end_lineno - 1
    before = lines[first][: node.col_offset + 1]
    after = lines[last][node.end_col_offset - 1 :]
    if not before.endswith((b"[", b"(", b"{")) or not after.startswith((b"]", b")", b"}")):
        return  # a tuple without brackets
    lines[last] = after
    lines[first:last] = [before, *[b""] * (last - first - 1)] if first < last else []
    if first == last:
        lines[first] = before + after
