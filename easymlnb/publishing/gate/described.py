"""Read the descriptions of services from the decorators of a notebook, without running it."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Any

import msgspec

from easymlnb.contract import metadata
from easymlnb.contract.metadata import Metadata, default_title
from easymlnb.contract.notebook import text_of
from easymlnb.contract.spec import ServiceSpec
from easymlnb.publishing.bundle.paths import last
from easymlnb.publishing.bundle.static_analysis import DECORATORS, parse
from easymlnb.publishing.gate.sources import Place, is_run

TEXTS = ("title", "description", "author", "license")


@dataclass(frozen=True, slots=True)
class Described:
    """A service, as far as it is known.

    unknown: fields of the spec whose values only running the notebook shows.
    place: where it is defined; empty if it comes from a server.
    untyped: parameters without a hint, and ``return``.
    """

    spec: ServiceSpec
    unknown: frozenset[str] = frozenset()
    place: Place = field(default_factory=dict)
    untyped: tuple[str, ...] = ()


def described_services(
    cells: Iterable[Mapping[str, Any]], more: Mapping[str, Any]
) -> Iterator[Described]:
    """Yield the services of a notebook; ``more`` is the metadata outside of the code."""
    for index, cell in enumerate(cells):
        tree = parse(text_of(cell["source"])) if is_run(cell) else None
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    call = decorator if isinstance(decorator, ast.Call) else None
                    if last(call.func if call else decorator) in DECORATORS:
                        place = {"cell": index, "line": node.lineno}
                        yield _described(node, call, place, more)


def _described(
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    call: ast.Call | None,
    place: Place,
    more: Mapping[str, Any],
) -> Described:
    options = {word.arg: word.value for word in (call.keywords if call else ()) if word.arg}
    known = {name: _literal(value) for name, value in options.items()}
    unknown = {
        name for name, value in known.items() if value is None and not _is_none(options[name])
    }
    if call and any(word.arg is None for word in call.keywords):  # **options
        unknown |= {*TEXTS, "tags", "metadata", "examples"} - known.keys()
    given = known.get("name")
    name = given if isinstance(given, str) else re.sub(r"\W|^_+", "", node.name).lower()
    texts = {key: str(known[key]) for key in TEXTS if isinstance(known.get(key), str)}
    texts.setdefault("title", default_title(name))
    if "description" not in unknown:
        texts.setdefault("description", cleandoc(ast.get_docstring(node) or ""))
    spec = ServiceSpec(
        name=name,
        title=texts["title"],
        description=texts.get("description", ""),
        author=texts.get("author", ""),
        license=texts.get("license", ""),
        input={},
        output={},
        tags=_texts(known.get("tags")),
        examples=_examples(options.get("examples")),
        metadata=_metadata(known.get("metadata")),
    )
    return Described(
        spec.with_notebook_metadata(more), frozenset(unknown | {"input"}), place, _untyped(node)
    )


def _literal(value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _texts(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple) else ()
    return tuple(one for one in listed if isinstance(one, str))


def _examples(value: ast.expr | None) -> tuple[dict[str, Any], ...]:
    """Return one empty example for each in the code: their values may be objects."""
    return ({},) * len(value.elts) if isinstance(value, ast.List | ast.Tuple) else ()


def _metadata(value: Any) -> Metadata | None:
    valid, _ = metadata.read(value, only=metadata.EXTRA) if isinstance(value, dict) else ({}, [])
    valid.pop("thumbnail", None)  # here the name of a file
    try:
        return msgspec.convert(valid, Metadata) if valid else None
    except msgspec.ValidationError:
        return None


def _untyped(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    found = [one.arg for one in arguments if one.annotation is None]
    return (*found, *(("return",) if node.returns is None else ()))
