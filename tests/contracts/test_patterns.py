"""No regular expression may take more than linear time, whatever it is given.

A pattern that backtracks over foreign bytes lets one request stop the server for everybody. Every
pattern of the server and of the contract is found in the source and run against long texts that
are made to fail late.
"""

import ast
import re
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from easymlnb_server.http.fastpath import request_head
from easymlnb_server.http.fastpath.routes import combined, fast_routes
from easymlnb_server.http.routes import ROUTES, SHARED_ROUTES

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "server-extension/easymlnb_server", ROOT / "easymlnb/contract")
METHODS = ("match", "fullmatch", "search", "sub", "split", "findall", "finditer")

LONG = 6_000
SLOW = 0.01
"""Seconds of a run that is looked at more closely; what is linear takes far less."""

BEGINNINGS = (
    "", "a", "A", "0", "1", "10.1234/", "//", "/", ":", "-", "<", "</name", "<name", "\\", "doi:",
    "http://", "https://dx.doi.org/", "data:image/png;base64,", "GPU 0: x (UUID: ", "\x1b[", "{",
    "services/a", "services/a/b", "apps/a/", "GPU ",
)  # fmt: skip
PUMPS = (
    " ", "\t", "\n", "a", "0", "/", ":", "<", ">", "-", ".", "=", "@", "{", "\\", "_", ";", "+",
    "a ", " a", "/a", "//", ":1", "1.", "a-", "\\0", "</name", "<name", "\x1b[", "1;", "\n ", "a/a",
    "doi:", "GPU ", "(UUID: ",
)  # fmt: skip
ENDS = ("", "\x00", "!", "\n")


def literal(node: ast.expr) -> str | bytes | None:
    """Return a pattern as it is written; what is put into it becomes ``name``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "name" for part in node.values
        )
    return None


def written() -> Iterator[tuple[str, str | bytes, str, int]]:
    """Yield place, pattern, method and flags of all patterns in the source."""
    trees = {path: ast.parse(path.read_text()) for at in FOLDERS for path in at.rglob("*.py")}
    used: dict[str, set[str]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in METHODS
                and isinstance(node.value, ast.Name)
            ):
                used.setdefault(node.value.id, set()).add(node.attr)
    for path, tree in trees.items():
        names = {
            id(node.value): target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr in (*METHODS, "compile")
            ):
                continue
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            pattern = literal(node.args[0])
            if pattern is None:
                assert "re.compile(paths.encode())" in ast.unparse(node), f"{place} is not tested"
                continue
            flags = sum(
                getattr(re, part.attr)
                for part in ast.walk(node)
                if isinstance(part, ast.Attribute) and part.attr in ("IGNORECASE", "MULTILINE")
            )
            if node.func.attr != "compile":
                yield place, pattern, node.func.attr, flags
                continue
            assert id(node) in names, f"{place}: give the pattern a name"
            methods = used.get(names[id(node)], set())
            assert methods, f"{place} is not used"
            for method in methods:
                yield place, pattern, method, flags


def routed() -> Iterator[tuple[str, str | bytes, str, int]]:
    for pattern in {str(pattern) for pattern, *_ in (*ROUTES, *SHARED_ROUTES)}:
        yield f"route {pattern}", f"{pattern}$", "match", 0
    for shared in (False, True):
        for route in fast_routes("", shared=shared):
            yield f"call {route.path}", route.path, "fullmatch", 0


PATTERNS = sorted({*written(), *routed()}, key=str)


def seconds(run: Callable[[], object]) -> float:
    """Return processor time: other processes do not count."""
    began = time.thread_time()
    run()
    return time.thread_time() - began


def grows_too_fast(run: Callable[[int], object]) -> bool:
    """Say whether four times the text takes clearly more than four times as long."""
    if seconds(lambda: run(LONG // 16)) > SLOW and seconds(lambda: run(LONG // 16)) > SLOW:
        return True
    if seconds(lambda: run(LONG)) < SLOW:
        return False
    short = min(seconds(lambda: run(LONG // 4)) for _ in range(5))
    long = min(seconds(lambda: run(LONG)) for _ in range(5))
    return long > SLOW and long > 9 * short


def runner(pattern: Any, method: str, begin: str, pump: str, end: str) -> Callable[[int], object]:
    def run(size: int) -> object:
        text: Any = begin + pump * (size // len(pump)) + end
        if isinstance(pattern.pattern, bytes):
            text = text.encode("latin-1")
        if method == "sub":
            return pattern.sub(text[:0], text)
        if method == "finditer":
            return list(pattern.finditer(text))
        return getattr(pattern, method)(text)

    return run


@pytest.mark.parametrize(("place", "pattern", "method", "flags"), PATTERNS)
def test_patterns_take_linear_time(
    place: str, pattern: str | bytes, method: str, flags: int
) -> None:
    compiled = re.compile(pattern, flags)
    for begin, pump, end in product(BEGINNINGS, PUMPS, ENDS):
        run = runner(compiled, method, begin, pump, end)
        assert not grows_too_fast(run), (place, begin, pump, end)


def test_quadratic_patterns_are_found() -> None:
    bad = re.compile(rb"([A-Za-z0-9-]+):[ \t]*((?:[!-~](?:[\t -~]*[!-~])?)?)[ \t]*")
    assert grows_too_fast(runner(bad, "fullmatch", "a:", " ", "\x00"))


VALUES = [
    b"X: " + b" " * request_head.HEAD_LIMIT + b"\x00",
    b"X: " + b"\t" * request_head.HEAD_LIMIT + b"\x7f",
    b"X: a" + b" " * request_head.HEAD_LIMIT + b"\x00",
    b"X: " + b"a " * (request_head.HEAD_LIMIT // 2) + b"\x00",
    b"a" * request_head.HEAD_LIMIT,
    b"a" * request_head.HEAD_LIMIT + b"\x00:",
    b":" * request_head.HEAD_LIMIT,
    b"\r\n".join(b"a:" for _ in range(request_head.HEAD_LIMIT // 4)),
    b"\r\n".join(b"a%d:" % number for number in range(request_head.HEAD_LIMIT // 8)),
]


@pytest.mark.parametrize("lines", VALUES, ids=range(len(VALUES)))
def test_heads_take_linear_time(lines: bytes) -> None:
    path = combined(fast_routes("", shared=False))

    def run(size: int) -> object:
        part = lines[:3] + lines[3:-2][: size // 2] + lines[-2:]
        return request_head.parse(
            b"POST services/f/call HTTP/1.1\r\n" + part + request_head.END, path
        )

    assert not grows_too_fast(lambda size: [run(8 * size) for _ in range(20)])
