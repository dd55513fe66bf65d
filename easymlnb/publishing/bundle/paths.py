"""Evaluate paths in Python source without running it."""

import ast
import posixpath
import shlex
from collections.abc import Iterable, Iterator, Mapping

HERE = "\0"
"""Placeholder of ``__file__`` in a path."""

SAME = frozenset(("abspath", "fspath", "normpath", "realpath", "str"))
SAME_METHODS = frozenset(("absolute", "as_posix", "resolve"))
"""Functions and methods that return the same path in another form."""

MAX_DEPTH = 50

Names = Mapping[str, ast.AST]


def path_text(node: ast.AST, names: Names | None = None) -> str | None:
    """Return the text of a literal, or of literals that are joined to a path, if it is constant.

    ``"a"``, ``Path("a", "b")``, ``Path("a") / "b"``, ``os.path.join("a", "b")``,
    ``str(Path("a"))``, ``os.getcwd() + "/a"``. ``names`` are variables with known values.
    """
    return _Reader(names or {}).text(node)


class _Reader:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._depth = 0

    def text(self, node: ast.AST | None) -> str | None:
        read = getattr(self, f"_of_{type(node).__name__}", None)
        if read is None or self._depth >= MAX_DEPTH:
            return None
        self._depth += 1
        try:
            found: str | None = read(node)
        finally:
            self._depth -= 1
        return found

    def _of_Constant(self, node: ast.Constant) -> str | None:
        return node.value if isinstance(node.value, str) else None

    def _of_BinOp(self, node: ast.BinOp) -> str | None:
        parts = [self.text(node.left), self.text(node.right)]
        if isinstance(node.op, ast.Div):
            return _joined(parts)
        return _added(parts) if isinstance(node.op, ast.Add) else None

    def _of_JoinedStr(self, node: ast.JoinedStr) -> str | None:
        return _added([self.text(part) for part in node.values])

    def _of_FormattedValue(self, node: ast.FormattedValue) -> str | None:
        return self.text(node.value) if node.format_spec is None else None

    def _of_Name(self, node: ast.Name) -> str | None:
        return HERE if node.id == "__file__" else self.text(self._names.get(node.id))

    def _of_Attribute(self, node: ast.Attribute) -> str | None:
        if node.attr == "parent":
            return _joined([self.text(node.value), ".."])
        return {"curdir": ".", "pardir": ".."}.get(node.attr) if last(node.value) == "os" else None

    def _of_Subscript(self, node: ast.Subscript) -> str | None:
        """Read ``path.parents[1]``."""
        at = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if not isinstance(node.value, ast.Attribute) or node.value.attr != "parents":
            return None
        if not isinstance(at, int) or not 0 <= at < MAX_DEPTH:
            return None
        return _joined([self.text(node.value.value), *[".."] * (at + 1)])

    def _of_Call(self, node: ast.Call) -> str | None:
        name = last(node.func)
        if name in ("cwd", "getcwd") and not node.args:
            return "."
        if name in SAME_METHODS and isinstance(node.func, ast.Attribute) and not node.args:
            return self.text(node.func.value)
        if node.keywords or not node.args:
            return "." if name == "Path" and not node.keywords else None
        parts = [self.text(argument) for argument in node.args]
        if name in ("Path", "PurePath", "join"):
            return _joined(parts)
        if name == "dirname":
            return _joined([*parts, ".."])
        return parts[0] if name in SAME and len(parts) == 1 else None


def _joined(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return posixpath.join(*known) if len(known) == len(parts) else None


def _added(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def last(node: ast.AST) -> str:
    """Return the last part of a dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


# folders in which modules and files are searched


def variables(nodes: Iterable[ast.AST]) -> Names:
    """Return the names that are assigned once, with their values."""
    found: dict[str, ast.AST | None] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(target, ast.Name):
            found[target.id] = None if target.id in found else value
    return {name: value for name, value in found.items() if value is not None}


def search_folders(node: ast.AST, names: Names) -> Iterator[str]:
    """Yield the folders that a node adds to ``sys.path``."""
    for item in _searched(node):
        text = path_text(item, names)
        if text:
            yield text


def working_folders(node: ast.AST, names: Names) -> Iterator[str]:
    """Yield the folder that a node changes to, by ``os.chdir``, ``%cd`` or ``easymlserve.run``."""
    if not isinstance(node, ast.Call) or not node.args:
        return
    texts = [path_text(argument, names) for argument in node.args]
    if last(node.func) == "chdir" and texts[0]:
        yield texts[0]
    elif last(node.func) == "run_line_magic" and texts[0] == "cd" and texts[1:]:
        yield from [part for part in _words(texts[1] or "") if not part.startswith("-")][:1]
    elif _runs_easymlserve(node) and texts[0]:
        yield posixpath.dirname(texts[0]) or "."


def _runs_easymlserve(node: ast.Call) -> bool:
    """Say whether a call is ``easymlserve.run(...)``, which works in the folder of the file."""
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    return owner is not None and last(owner) == "easymlserve" and last(node.func) == "run"


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


def _searched(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner, method = ast.unparse(node.func.value), node.func.attr
        if (owner, method) in (("sys.path", "append"), ("site", "addsitedir")):
            yield from node.args[:1]
        elif (owner, method) == ("sys.path", "insert"):
            yield from node.args[1:2]
        elif (owner, method) == ("sys.path", "extend"):
            yield from _entries(node.args)
    elif isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(ast.unparse(target).partition("[")[0] == "sys.path" for target in targets):
            yield from _entries([node.value])


def _entries(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the elements of the lists and tuples in some expressions."""
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.List | ast.Tuple):
                yield from part.elts
