"""The prose check: what it reads, what it leaves alone, and what the packages may have."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/prose.py"
WORDS = "told => given\ncolors? => color\nallow *: stands for\nstands => is\nallow b.md: told him\n"


@pytest.fixture(scope="module")
def prose() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prose", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prose"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The color was told.", ["color", "told"]),
        ("It stands for a name; it stands there.", ["stands"]),
        ("`color` and ``told`` are code, docs/color.md is a path.", []),
        ("```\ntold\n```\nColors", ["Colors"]),
        ("retold stories", []),
    ],
)
def test_words_are_found_in_prose_only(prose: ModuleType, text: str, words: list[str]) -> None:
    rules = prose.read_rules(WORDS)
    found = prose.check("a.md", iter([(1, text)]), rules)
    assert sorted(finding.word for finding in found) == words


def test_a_phrase_is_allowed_in_its_files(prose: ModuleType) -> None:
    rules = prose.read_rules(WORDS)
    assert not prose.check("b.md", iter([(1, "She told him.")]), rules)
    assert prose.check("a.md", iter([(1, "She told him.")]), rules)


def test_findings_have_lines(prose: ModuleType) -> None:
    (found,) = prose.check("a.md", iter([(3, "one\ntwo told\n")]), prose.read_rules(WORDS))
    assert (found.line, found.advice) == (4, "given")


def test_identifiers_are_no_prose(prose: ModuleType) -> None:
    source = '"""A color."""\nname = "color"\ntext = f"The color {name}"\n'
    assert [text for _, text in prose.python_texts(source)] == ["A color.", "The color "]


def test_nothing_is_above_the_baseline(prose: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["prose.py"])
    assert prose.main() == 0
