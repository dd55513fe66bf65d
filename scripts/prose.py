#!/usr/bin/env python3
"""Report awkward words and British spellings in texts that people read.

Reads string literals and docstrings of both packages, templates and Markdown pages. The words are
in ``prose_words.txt``. Without options it fails if a file has more findings than
``prose_baseline.json`` allows. ``--list`` prints all findings. ``--update`` writes the baseline
again, and refuses a higher total.
"""

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
WORDS = HERE / "prose_words.txt"
BASELINE = HERE / "prose_baseline.json"
FILES = (
    "easymlnb/**/*.py",
    "server-extension/easymlnb_server/**/*.py",
    "server-extension/easymlnb_server/templates/*.html",
    "docs/**/*.md",
    "*.md",
)
CODE = re.compile(r"```.*?```|``[^`]+``|`[^`\n]+`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rules:
    """The words to report and the phrases to accept."""

    words: tuple[tuple[re.Pattern[str], str], ...]
    allowed: tuple[tuple[str, re.Pattern[str]], ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A word in a file, with the advice from the word list."""

    line: int
    word: str
    advice: str


def read_rules(text: str) -> Rules:
    """Parse the word list."""
    words, allowed = [], []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("allow "):
            glob, _, phrase = line.removeprefix("allow ").partition(": ")
            allowed.append((glob, re.compile(re.escape(phrase), re.IGNORECASE)))
        elif line and not line.startswith("#"):
            pattern, _, advice = line.partition(" => ")
            # Parts of paths and identifiers are not prose.
            whole = rf"(?<![\w./-])(?:{pattern})(?![\w/-]|\.\w)"
            words.append((re.compile(whole, re.IGNORECASE), advice))
    return Rules(tuple(words), tuple(allowed))


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield ``(line, text)`` of docstrings and of literals that are not a single identifier."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if " " in text.strip() or text[:1].isupper():
                yield node.lineno, text


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a file with the line on which each starts."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from python_texts(source)
    else:
        yield 1, source


def check(name: str, texts: Iterator[tuple[int, str]], rules: Rules) -> list[Finding]:
    """Return the findings of a file; ``name`` is its path below the root."""
    found = []
    allowed = [phrase for glob, phrase in rules.allowed if fnmatch(name, glob)]
    for start, text in texts:
        text = CODE.sub(_blank, text)
        for phrase in allowed:
            text = phrase.sub(_blank, text)
        for pattern, advice in rules.words:
            for match in pattern.finditer(text):
                line = start + text.count("\n", 0, match.start())
                found.append(Finding(line, match.group(), advice))
    return sorted(found, key=lambda finding: finding.line)


def check_all(root: Path, rules: Rules) -> dict[str, list[Finding]]:
    """Return the findings of all files that have any."""
    paths = sorted({path for glob in FILES for path in root.glob(glob)})
    names = {path.relative_to(root).as_posix(): path for path in paths}
    found = {name: check(name, texts(path), rules) for name, path in names.items()}
    return {name: findings for name, findings in found.items() if findings}


def report(found: dict[str, list[Finding]]) -> None:
    """Print findings, one per line."""
    for name, findings in found.items():
        for finding in findings:
            print(f"{name}:{finding.line}: {finding.word!r}: use {finding.advice}")


def main() -> int:
    """Run the check and return the exit status."""
    parser = argparse.ArgumentParser(description="Check the prose of easymlnb.")
    parser.add_argument("--list", action="store_true", help="Print all findings.")
    parser.add_argument("--update", action="store_true", help="Write the baseline again.")
    options = parser.parse_args()
    found = check_all(ROOT, read_rules(WORDS.read_text(encoding="utf-8")))
    counts = {name: len(findings) for name, findings in found.items()}
    if options.list:
        report(found)
        return 0
    baseline = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else counts
    total, limit = sum(counts.values()), sum(baseline.values())
    if options.update and total <= limit:
        BASELINE.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
        print(f"Baseline: {total} findings in {len(counts)} files.")
        return 0
    if options.update:
        print(f"{total} findings are more than the baseline of {limit}. Fix the new ones first.")
        return 1
    worse = {name: hits for name, hits in found.items() if len(hits) > baseline.get(name, 0)}
    report(worse)
    if worse:
        print(f"Prose: new findings in {len(worse)} file(s). If you only moved or renamed a file,")
        print("run scripts/prose.py --update.")
    elif total < limit:
        print(f"Prose: {total} findings, {limit - total} fewer. Run scripts/prose.py --update.")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
