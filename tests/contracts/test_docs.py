"""What the documentation must mention, it mentions, and what it points at is there."""

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from tornado.web import RequestHandler
from traitlets import TraitType

import easymlnb
from easymlnb.cli.app import app as commands
from easymlnb.contract.errors import BY_CODE
from easymlnb.services.decorator import options_of_service
from easymlnb_server.app import EasyMLNB
from easymlnb_server.http.routes import ROUTES
from easymlnb_server.placement.environment import NAMES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
PACKAGES = (ROOT / "easymlnb", ROOT / "server-extension/easymlnb_server")
PLACES = {
    r"([A-Za-z0-9_-]+)": "{name}",
    r"([0-9a-f]{64})": "{id}",
    r"([0-9a-f]{32})": "{id}",
    r"([0-9A-Za-z_]{1,64})": "{id}",
    r"([0-9A-Za-z_-]{1,64})": "{id}",
    r"([A-Za-z0-9_-]{43})": "{id}",
    r"([A-Za-z0-9_-]{1,200})": "{key}",
    r"([0-9a-f-]{36})": "{id}",
    r"([0-9a-f]{12})/([A-Za-z0-9@._/-]+)": "{tag}/{file}",
    r"([a-z]+\.[a-z]+)": "{file}",
    r"([A-Za-z0-9._-]{8,64})": "{request_id}",
    r"([a-z0-9_-]{1,63})": "{version}",
    r"([A-Za-z_][A-Za-z0-9_.-]{0,63})": "{credential}",
    r"([A-Za-z_][A-Za-z0-9_]{0,62})": "{source}",
    r"([0-9A-Za-z]{1,64})": "{id}",
    r"(.+)": "{label}",
    r"((?:~/)?[A-Za-z0-9_-]+)": "{name}",
    r"([A-Za-z0-9_-]{1,63})": "{version}",
    r"([A-Za-z0-9_-]{1,64})": "{alias}",
    r"([a-z-]+)/([a-z-]+)": "{resource}/{call}",
    r"([^/]{1,200})": "{model}",
    r"([0-9A-Za-z-]{1,64})": "{uuid}",
}


@cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def column(path: Path, number: int = 0, heading: str = "") -> Iterator[str]:
    """Yield the cells of one column of the tables of a page, below ``heading`` if one is given."""
    _, found, part = text(path).partition(f"\n{heading}\n") if heading else ("", "x", text(path))
    assert found, f"{path.name} has no {heading!r}"
    if heading:
        part = re.split(r"^#{1,2} ", part, maxsplit=1, flags=re.MULTILINE)[0]
    for line in part.splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        if line.startswith("| ") and len(cells) > number + 2:
            yield cells[number + 1].strip()


def quoted(cells: Iterator[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


# routes, options, errors, names, commands


def documented(pattern: str) -> str:
    for expression, name in PLACES.items():
        pattern = pattern.replace(expression, name)
    return "/" + pattern.replace("\\.", ".").removesuffix("/?").removesuffix("/")


def methods(handler: type[RequestHandler]) -> list[str]:
    unset = RequestHandler.get
    return [
        name.upper()
        for name in ("get", "post", "put", "patch", "delete")
        if getattr(handler, name) is not unset
    ]


def test_every_route_and_method_is_in_the_reference_and_no_other() -> None:
    there = {
        f"{method} {documented(pattern)}"
        for pattern, handler, *_ in ROUTES
        if pattern != r".*"
        for method in methods(handler)
    }
    assert quoted(column(REFERENCE / "rest.md", heading="## Routes")) == there


def test_every_option_is_in_the_configuration_and_no_other() -> None:
    own = {
        f"`EasyMLNB.{name}`": default(trait)
        for kind in EasyMLNB.__mro__
        if kind.__module__.startswith("easymlnb_server.")
        for name, trait in vars(kind).items()
        if isinstance(trait, TraitType) and trait.metadata.get("config")
    }
    page, heading = REFERENCE / "configuration.md", "## Options of the server"
    _, *told = zip(column(page, 0, heading), column(page, 1, heading), strict=True)
    assert {name for name, _ in told} == set(own)
    # An empty default is made up at the start, and told in words.
    for name, value in told:
        assert not own[name] or value == f"`{own[name]}`", name


def default(trait: TraitType[Any, Any]) -> str:
    value = trait.default()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_environment_variable_is_in_the_configuration() -> None:
    used = {
        name
        for package in PACKAGES
        for file in package.rglob("*.py")
        for name in re.findall(r"\b(?:EASYMLNB|JPY|JUPYTERHUB)_[A-Z_]+\b", text(file))
    }
    page = text(REFERENCE / "configuration.md")
    assert [name for name in sorted(used) if f"`{name}`" not in page] == []


def test_what_workers_inherit_is_in_the_configuration() -> None:
    page = text(REFERENCE / "configuration.md")
    # Of the locale the page names a few; the small letters it says in words.
    wanted = [name for name in NAMES if name.isupper() and not name.startswith("LC_")]
    assert [name for name in wanted if f"`{name}`" not in page] == []


def test_every_error_is_in_the_reference_with_its_status_and_class() -> None:
    page = REFERENCE / "errors.md"
    rows = zip(column(page, 0), column(page, 1), column(page, 2), strict=True)
    told = {row for row in rows if row[0].startswith("`")}
    assert told == {
        (f"`{code}`", str(error.status), f"`{error.__name__}`") for code, error in BY_CODE.items()
    }


def test_every_public_name_is_in_the_reference_and_no_other() -> None:
    page = text(REFERENCE / "python.md")
    headings = set(re.findall(r"^### `(\w+)`$", page, re.MULTILINE))
    listed = {
        re.split(r"\(", name)[0]
        for heading in ("## Types", "## Client")
        for name in quoted(column(REFERENCE / "python.md", heading=heading))
    }
    assert headings | listed | {"__version__"} == set(easymlnb.__all__)
    assert "`ml.__version__`" in page


def test_every_public_name_is_in_the_generated_reference() -> None:
    page = text(REFERENCE / "api.md")
    pattern = r"^\.\. auto(?:function|class|module|data):: (?:easymlnb\.training\.)?(\w+)"
    generated = set(re.findall(pattern, page, re.MULTILINE))
    assert set(easymlnb.__all__) - {"__version__"} <= generated


@pytest.mark.parametrize("name", sorted(set(easymlnb.__all__) - {"__version__", "ServiceFunction"}))
def test_docstrings_of_public_names_explain_each_parameter(name: str) -> None:
    item = getattr(easymlnb, name)
    docstring = inspect.getdoc(item) or ""
    assert docstring[:1].isupper()
    if "Parameters\n----" in docstring:
        part = docstring.partition("Parameters\n----")[2].partition("\n\n")[0]
        wanted = set(inspect.signature(item).parameters)
        if item is easymlnb.service:
            wanted = set(options_of_service())
        explained = re.findall(r"^\*{0,2}(\w+(?:, \w+)*)(?: : .+)?$", part, re.MULTILINE)
        names = {one for row in explained for one in row.split(", ")}
        assert wanted <= names


def test_every_option_of_the_decorator_is_in_the_reference() -> None:
    source = ast.parse(text(ROOT / "easymlnb/services/decorator.py"))
    found = [
        {argument.arg for argument in node.args.kwonlyargs}
        for node in source.body
        if isinstance(node, ast.FunctionDef) and node.name == "service" and node.args.kwonlyargs
    ]
    part = text(REFERENCE / "python.md").partition("### `service`")[2].partition("### ")[0]
    told = {
        name
        for row in re.findall(r"^\| (`.+?) \|", part, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert found == [told]


def test_every_command_and_option_is_in_the_reference() -> None:
    page = text(REFERENCE / "cli.md")
    group = typer.main.get_command(commands)
    assert set(re.findall(r"^## ([\w-]+)$", page, re.MULTILINE)) == set(group.commands)  # type: ignore[attr-defined]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        for option in command.params:
            long = [text for text in option.opts if text.startswith("--")]
            assert not long or long[0] in page, f"{name} {long}"


# links and examples


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings make, as GitHub names them."""
    bare = re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", bare, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    bare = re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", bare))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{link} in {page.name}"
        assert target.is_relative_to(ROOT), f"{link} in {page.name} leaves the repository"
        assert not anchor or anchor in anchors(target), f"{link} in {page.name}"


def test_every_page_is_reached_from_the_index() -> None:
    seen: set[Path] = set()
    todo = [DOCS / "index.md"]
    while todo:
        page = todo.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            todo += [
                (page.parent / link.partition("#")[0]).resolve()
                for link in links(page)
                if "://" not in link
            ]
    assert {name_of(page) for page in DOCS.rglob("*.md")} <= {name_of(page) for page in seen}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_the_pages_is_python(page: Path) -> None:
    for code in re.findall(r"^```python\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL):
        compile(code, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_used_in_the_pages_exist(page: Path) -> None:
    for name in set(re.findall(r"\bml\.(\w+)", text(page))):
        assert hasattr(easymlnb, name), f"ml.{name} in {page.name}"
    for home, name in set(re.findall(r"^from (easymlnb[\w.]*) import (\w+)$", text(page), re.M)):
        exists = hasattr(importlib.import_module(home), name) or find_spec(f"{home}.{name}")
        assert exists, f"{home}.{name} in {page.name}"


def code_of(page: Path) -> list[str]:
    return [code.strip() for code in re.findall(r"^```python\n(.*?)^```", text(page), re.M | re.S)]


def test_the_ten_lines_are_those_of_the_quickstart() -> None:
    notebook = json.loads(text(ROOT / "notebooks/00_quickstart.ipynb"))
    cells = ["".join(c["source"]).strip() for c in notebook["cells"] if c["cell_type"] == "code"]
    lines, *more = code_of(ROOT / "README.md")
    assert lines == cells[0] == code_of(DOCS / "get-started/first-service.md")[0]
    assert set(more) <= set(cells)
    assert len([line for line in lines.splitlines() if line.strip()]) <= 10


# the changelog


def test_changelog_has_unreleased_on_top_and_knows_the_version() -> None:
    page = text(ROOT / "CHANGELOG.md")
    first, *released = re.findall(r"^## \[([^\]]+)\]", page, re.MULTILINE)
    assert first == "Unreleased"
    if released:
        assert released[0] == easymlnb.__version__
    else:
        assert f"The first release will be {easymlnb.__version__}." in page
