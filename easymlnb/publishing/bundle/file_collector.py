"""Collect the files that a notebook needs, without those that must stay private."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from importlib.metadata import packages_distributions
from pathlib import Path

from easymlnb.contract.archive import check_path
from easymlnb.contract.errors import BundleRejected
from easymlnb.publishing.bundle.paths import HERE
from easymlnb.publishing.bundle.static_analysis import SourceFacts, read_module

MAX_FOUND = 100 * 2**20
"""Bytes; larger files are only included by name."""

MAX_WALK = 200_000

_IGNORED = {"__pycache__", "node_modules", "venv", "site-packages"}
_SECRET = re.compile(
    r".*\.(?:pem|key|p12|pfx|kdbx|jks|keystore|ppk)|id_(?:rsa|dsa|ecdsa|ed25519).*"
    r"|.*(?:credential|secret|password|api_?key|token)s?(?:\.[a-z]+)?",
    re.IGNORECASE,
)
_WILD = re.compile(r"[*?]")


class FileCollector:
    """The notebook's folder. All paths are relative to it and written with ``/``."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.notes: list[str] = []
        self.explained: set[str] = set()  # imports with a note
        self._searched = [""]  # folders of modules, relative to the root
        self._entered = [""]  # folders in which the code opens files
        self._outside: list[Path] = []  # folders of modules outside the root

    def needed(self, code: SourceFacts, notebook: str) -> dict[str, Path]:
        """Return the files that the code imports or names, recursively.

        Without the notebook itself, hidden files, secrets, and links that lead out of the folder.
        """
        found: dict[str, Path] = {}
        read = waiting = [("", code)]
        while waiting:
            at, facts = waiting[0]
            waiting = waiting[1:]
            if self._search(facts, at):
                waiting = read  # earlier imports may be in the new folders
                continue
            named = {*self._modules(facts.imports), *self._named(facts.texts)}
            for path in sorted(named - found.keys() - {notebook}):
                if not self._may_include(path):
                    continue
                found[path] = self.root / path
                if path.endswith(".py"):
                    new = (path, read_module(self._text(path)))
                    read, waiting = [*read, new], [*waiting, new]
        self._explain({name.partition(".")[0] for _, facts in read for name in facts.imports})
        for folder in self._entered[1:]:
            if not any(path.startswith(f"{folder}/") for path in found):
                self._note(
                    f"The code changes to the folder {folder!r}, but none of its files are "
                    f"included. Add them with include=[{f'{folder}/**'!r}]."
                )
        return found

    def local(self, name: str) -> bool:
        """Return whether the import ``name`` is a module of this folder."""
        return any(True for _ in self._modules([name]))

    def matching(self, patterns: Iterable[str], notebook: str) -> dict[str, Path]:
        """Return the files that ``patterns`` name: paths, folders, or globs with ``**``.

        The notebook itself, hidden files, secrets and links that lead out only match their full
        path. Raises ``BundleRejected`` for a pattern that leaves the folder or matches nothing.
        """
        found: dict[str, Path] = {}
        for pattern in patterns:
            pattern = pattern.removeprefix("./").rstrip("/")
            check_path(pattern)
            exact = self.root / pattern
            if exact.is_file():
                found[pattern] = exact
                continue
            hits = [path for path in self._files if matches(path, [pattern])]
            if not hits:
                raise BundleRejected(
                    f"include={pattern!r} matches no file in the notebook's folder "
                    f"{self.root.name!r}."
                )
            for path in hits:
                if path != notebook and not is_private(path) and self._inside(path):
                    found[path] = self.root / path
        return found

    def _search(self, facts: SourceFacts, at: str) -> bool:
        """Add the folders that the code in the file ``at`` uses; return whether any is new."""
        before = len(self._searched), len(self._entered), len(self._outside)
        for text in sorted(facts.entered):
            for folder in self._folders(text, at):
                self._entered += [folder] if folder not in self._entered else []
        for text in sorted(facts.searched | facts.entered):
            for folder in self._folders(text, at):
                self._searched += [folder] if folder not in self._searched else []
        return before != (len(self._searched), len(self._entered), len(self._outside))

    def _folders(self, text: str, at: str) -> list[str]:
        """Return the folders that a path may mean; record those outside the root."""
        starts = self._entered
        if text.startswith(HERE):
            if not at:
                return []  # a notebook has no file in its kernel
            starts, text = [""], f"{at}{text.removeprefix(HERE)}"
        if not _may_be_path(text):
            return []
        found = []
        for start in starts:
            # Links are not resolved: the worker sees the same names.
            folder = Path(os.path.normpath(self.root / start / text))
            if not folder.is_dir():
                continue
            if folder.is_relative_to(self.root):
                inside = folder.relative_to(self.root).as_posix()
                found.append("" if inside == "." else inside)
            elif folder not in self._outside:
                self._outside.append(folder)
        if os.path.isabs(text) and any(found):
            self._note(
                f"{text!r} is an absolute path, which does not exist on other machines. Write "
                f"{found[0]!r}."
            )
        return found

    def _explain(self, tops: set[str]) -> None:
        """Add notes about modules that are neither included nor installed."""
        unknown = {top for top in tops if not self.local(top)} - sys.stdlib_module_names
        unknown -= {"easymlnb"}
        if not unknown:
            return
        for top in sorted(unknown - packages_distributions().keys()):
            outside = next((one for one in self._outside if _contains(one, top)), None)
            if outside is not None:
                self._note(
                    f"{top!r} is imported from {os.path.relpath(outside, self.root)!r}, outside "
                    "the notebook's folder, and is not included. Move the module into that "
                    "folder, or install it."
                )
            elif (folder := self._below(top)) is not None:
                self._note(
                    f"{top!r} is imported but only found in {folder!r}. Add it with "
                    f"include=[{f'{folder}/**'!r}]."
                )
            else:
                continue
            self.explained.add(top)

    def _below(self, top: str) -> str | None:
        """Return the folder below the root that contains a module with this name."""
        ends = (f"/{top}.py", f"/{top}/__init__.py")
        try:
            hit = next((path for path in self._files if path.endswith(ends)), None)
        except BundleRejected:  # too many files to search
            return None
        return hit.rpartition(f"/{top}")[0] if hit is not None else None

    def _modules(self, names: Iterable[str]) -> Iterator[str]:
        """Yield the files of modules in this folder; for a package all its modules."""
        for top in sorted({name.partition(".")[0] for name in names}):
            if top == "easymlnb" or not top.isidentifier():
                continue
            for start in self._searched:
                folder = self.root / start
                if (folder / top / "__init__.py").is_file() or _is_namespace(folder, top, names):
                    yield from self._python_below(folder / top)
                elif (folder / f"{top}.py").is_file():
                    yield (folder / f"{top}.py").relative_to(self.root).as_posix()

    def _python_below(self, folder: Path) -> Iterator[str]:
        for file in sorted(folder.rglob("*.py")):
            path = file.relative_to(self.root).as_posix()
            if not is_private(path):
                yield path

    def _named(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield the files that literals name, also by a glob with an extension."""
        starts = [(start, text) for text in sorted(texts) for start in self._entered]
        for start, text in starts:
            path = os.path.normpath(os.path.join(start, text)) if _may_be_path(text) else ""
            path = path.replace(os.sep, "/")
            if path in ("", ".", "..") or path.startswith(("/", "../")):
                continue
            if _WILD.search(path):
                if re.search(r"\.\w+\Z", path):
                    yield from (hit for hit in self._files if matches(hit, [path]))
            elif os.path.isfile(self.root / path):
                yield path
            elif "/" in text and os.path.isdir(self.root / path) and path not in self._searched:
                self._note(
                    f"The folder {path!r} is used but not included. Add it with include=[{path!r}]."
                )

    def _may_include(self, path: str) -> bool:
        file = self.root / path
        advice = f"Add it with include=[{path!r}]."
        if is_private(path):
            self._note(f"Skipped {path!r}: the file is hidden or may contain secrets. {advice}")
        elif not self._inside(path):
            self._note(f"Skipped {path!r}: the path leads out of the notebook's folder. {advice}")
        elif file.stat().st_size > MAX_FOUND:
            self._note(f"Skipped {path!r}: the file exceeds {MAX_FOUND // 2**20} MB. {advice}")
        else:
            return True
        return False

    def _text(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def _inside(self, path: str) -> bool:
        return (self.root / path).resolve().is_relative_to(self.root)

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    @cached_property
    def _files(self) -> list[str]:
        found: list[str] = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(f for f in folders if f not in _IGNORED and not f.startswith("."))
            at = Path(folder).relative_to(self.root)
            found += [(at / file).as_posix() for file in sorted(files)]
            if len(found) > MAX_WALK:
                raise BundleRejected(
                    f"The folder {self.root.name!r} has more than {MAX_WALK} files. List the "
                    "files to include by name, or move the notebook to a separate folder."
                )
        return found


def is_private(path: str) -> bool:
    """Return whether a path is hidden, a cache, or a secret according to its name."""
    parts = path.split("/")
    hidden = any(part.startswith(".") or part in _IGNORED for part in parts)
    return hidden or (not path.endswith(".py") and bool(_SECRET.fullmatch(parts[-1])))


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern matches ``path`` or a folder above it.

    ``*`` and ``?`` stay within one folder, ``**`` does not.
    """
    parents = [path[:at] for at, letter in enumerate(path) if letter == "/"]
    return any(
        re.fullmatch(_regex(pattern.removeprefix("./").rstrip("/")), known)
        for pattern in patterns
        for known in (path, *parents)
    )


@cache
def _regex(pattern: str) -> str:
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return "".join(wildcards.get(part) or re.escape(part) for part in parts)


def _is_namespace(folder: Path, top: str, names: Iterable[str]) -> bool:
    if (folder / f"{top}.py").is_file() or not (folder / top).is_dir():
        return False
    tails = [name.replace(".", "/") for name in names if name.startswith(f"{top}.")]
    return any(
        (folder / f"{tail}.py").is_file() or (folder / tail / "__init__.py").is_file()
        for tail in tails
    )


def _contains(folder: Path, top: str) -> bool:
    return (folder / f"{top}.py").is_file() or (folder / top).is_dir()


def _may_be_path(text: str) -> bool:
    return 0 < len(text) <= 1024 and text.isprintable() and "://" not in text
