"""Read imports, file names and services from Python source without running it."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from easymlnb.contract.environment_lock import LOCKED
from easymlnb.contract.resources import PREFER, Gpu
from easymlnb.publishing.bundle.paths import (
    last,
    path_text,
    search_folders,
    variables,
    working_folders,
)

# Cell magics whose body is Python of this kernel, unlike %%bash.
_PYTHON_MAGIC = re.compile(r"\s*%%(?:time|timeit|capture|prun|memit)\b")


DECORATORS = ("service", "train")
"""Names of the decorators that make a function a service."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Facts of some source.

    imports: dotted names; ``from a import b`` gives ``a`` and ``a.b``.
    texts: string literals, and paths that are joined from literals.
    searched: folders that the code adds to ``sys.path``.
    entered: folders that the code changes to.
    services: names of decorated functions.
    gpu: the largest number of GPUs that a service requests with a literal.
    placement: that of the last decorator with a literal placement.
    locked: whether a decorator requests a locked environment.
    unread: numbers of the cells that are not Python.
    """

    imports: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    searched: frozenset[str] = frozenset()
    entered: frozenset[str] = frozenset()
    services: tuple[str, ...] = ()
    gpu: Gpu = 0.0
    placement: str = ""
    locked: bool = False
    unread: tuple[int, ...] = ()


def read_cells(cells: Iterable[dict[str, Any]]) -> SourceFacts:
    """Read a notebook's code cells, except those tagged ``skip``, which are not run."""
    trees, unread = [], []
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code" or "skip" in cell.get("metadata", {}).get("tags", ()):
            continue
        tree = parse(cell["source"])
        if tree is None:
            unread.append(number)
        else:
            trees.append(tree)
    return _facts(trees, tuple(unread))


def read_module(source: str) -> SourceFacts:
    """Read a module's text; invalid Python has no facts."""
    tree = parse(source)
    return _facts([tree] if tree else [], () if tree else (0,))


def parse(source: str) -> ast.Module | None:
    """Return the syntax tree of a cell, also with IPython's magics; ``None`` if not Python."""
    if _PYTHON_MAGIC.match(source):
        source = source.lstrip().partition("\n")[2]
    try:
        return _parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    try:
        return _parse(expand_magics(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError, ImportError):
        return None


def expand_magics(source: str) -> str:
    """Return a cell as IPython runs it: ordinary Python, with magics as calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    return str(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]


def _parse(source: str) -> ast.Module:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in strings
        return ast.parse(source)


def _facts(trees: list[ast.Module], unread: tuple[int, ...]) -> SourceFacts:
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    services = dict.fromkeys(name for function in functions for name in _service(function))
    names = variables(nodes)
    return SourceFacts(
        imports=frozenset(name for node in nodes for name in _imports(node)),
        texts=frozenset(text for node in nodes if (text := path_text(node))),
        searched=frozenset(text for node in nodes for text in search_folders(node, names)),
        entered=frozenset(text for node in nodes for text in working_folders(node, names)),
        services=tuple(services),
        gpu=_most(gpu for function in functions for gpu in _gpus(function)),
        placement=_placement(functions),
        locked=any(LOCKED in _literals(function, "environment") for function in functions),
        unread=unread,
    )


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*")
    elif isinstance(node, ast.Call) and last(node.func) in ("import_module", "__import__"):
        name = path_text(node.args[0]) if node.args else None
        if name and not name.startswith("."):
            yield name


def _service(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        if last(call.func if call else decorator) not in DECORATORS:
            continue
        given = [k.value for k in call.keywords if k.arg == "name"] if call else []
        if not given:
            yield re.sub(r"\W|^_+", "", function.name).lower()
        elif isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
            yield given[0].value


def _gpus(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Gpu]:
    for value in _literals(function, "gpu"):
        if value == PREFER or type(value) in (int, float):
            yield cast("Gpu", value)


def _placement(functions: Iterable[ast.FunctionDef | ast.AsyncFunctionDef]) -> str:
    given = [value for function in functions for value in _literals(function, "placement")]
    return next((value for value in reversed(given) if isinstance(value, str)), "")


def _literals(function: ast.FunctionDef | ast.AsyncFunctionDef, option: str) -> Iterator[Any]:
    """Yield the values of an option of the decorator that are literals."""
    for call in function.decorator_list:
        if isinstance(call, ast.Call) and last(call.func) == "service":
            for word in call.keywords:
                if word.arg == option and isinstance(word.value, ast.Constant):
                    yield word.value.value


def _most(gpus: Iterable[Gpu]) -> Gpu:
    """Return the number that is enough for all; the decorator reports invalid numbers later."""
    found = list(gpus)
    needed = max((float(one) for one in found if one != PREFER and one >= 0), default=0.0)
    return needed or (PREFER if PREFER in found else 0.0)
