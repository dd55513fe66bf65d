"""Run the test suite: parts of it at the same time, then what failed once more, alone.

Most tests wait more than they compute, so several parts use the cores better than one. The output
of a part is printed when it has ended. A test that fails next to others and passes alone does not
fail the run, but it is counted and named at the end.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import psutil

ROOT = Path(__file__).parent.parent
FAILED = 1
NO_TESTS = 5
INTERRUPTED = 130
GRACE = 8.0
"""Seconds that interrupted parts have to end what they started."""

FAST = ("-m", "not slow and not nightly")
DAILY = ("-m", "not nightly")
UNITS = {
    "unit/server": ("tests/unit/server",),
    "unit": ("tests/unit", "--ignore=tests/unit/server"),
}
AT_ONCE = 4
"""Parts that run at the same time."""
SPLIT = {
    "hub": ("tests/hub", "test_shared_service*"),
    "integration": ("tests/integration", "test_[a-n]*"),
    "browser": ("tests/browser", "test_app_*"),
}
"""Folders that are split in two: the files that match a pattern, and the others."""

OLD = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
"""Warnings that say only that a release is old; they are no errors with ``--oldest``."""


class Interrupted(Exception):
    """The run was interrupted by a signal."""


@dataclass
class Part:
    """One pytest process with a cache of its own, so that it knows its own failures."""

    name: str
    arguments: list[str]
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def _cache(self) -> str:
        return f".pytest_cache/{self.name.replace(' ', '-')}"

    def start(self, *more: str) -> None:
        """Start pytest in a process group of its own, which an interrupt reaches as a whole."""
        command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={self._cache}"]
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self.log.open("ab")) if self.log else None
            self.process = subprocess.Popen(
                [*command, *self.arguments, *more],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0,
            )  # fmt: skip

    @property
    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def show(self) -> None:
        """Print what pytest printed, unless it was printed at once."""
        if self.log is not None:
            say(f"{self.name}:")
            print(self.log.read_text(errors="replace"), flush=True)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait()

    def run(self, *more: str) -> int:
        self.start(*more)
        return self.wait()

    @property
    def _failures(self) -> Path:
        return ROOT / self._cache / "v/cache/lastfailed"

    def forget(self) -> None:
        """Forget the failures of earlier runs: pytest keeps those of tests that it did not run."""
        self._failures.unlink(missing_ok=True)

    def failures(self) -> set[str]:
        """Return the tests that failed when this part ran last."""
        return set(json.loads(self._failures.read_text())) if self._failures.exists() else set()

    def interrupt(self) -> None:
        """Let pytest end its fixtures, and with them what they started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)

    def end(self, seconds: float) -> None:
        """Wait for an interrupted pytest; kill it and what it started when the time is over."""
        if self.process is None or self.process.poll() is not None:
            return
        descendants = psutil.Process(self.process.pid).children(recursive=True)
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for left in psutil.wait_procs(descendants, timeout=1)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


def say(text: str) -> None:
    print(f"\033[1m{text}\033[0m", file=sys.stderr, flush=True)


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into ``Interrupted``, also where the parent ignores SIGINT."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def run_parts(parts: list[Part]) -> tuple[int, list[str]]:
    """Run all parts, retry failures; returns the exit status and what passed the second time."""
    for part in parts:
        part.forget()
    statuses: dict[str, int] = {}
    waiting, running = list(parts), []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            running.append(waiting.pop(0))
            running[-1].start()
        for part in [part for part in running if part.ended]:
            running.remove(part)
            statuses[part.name] = part.wait()
            part.show()
        time.sleep(0.1)
    passed: list[str] = []
    for part in parts:
        if statuses[part.name] == FAILED and (failed := part.failures()):
            say("Retrying the tests that failed, with nothing running next to them:")
            part.log = None
            statuses[part.name] = part.run("--last-failed", "--maxfail=1")
            passed += sorted(failed - part.failures())
    ran = [status for status in statuses.values() if status != NO_TESTS]
    return next((status for status in ran if status), 0) if ran else NO_TESTS, passed


def all_parts() -> dict[str, tuple[str, ...]]:
    """Return what pytest is given for each part of the whole suite, the longest first."""
    halves = {}
    for name, (folder, pattern) in SPLIT.items():
        halves[name] = (folder, f"--ignore-glob={ROOT / folder / pattern}")
        files = sorted((ROOT / folder).glob(f"{pattern}.py"))
        halves[f"{name} 2"] = tuple(str(file.relative_to(ROOT)) for file in files)
    others = ("tests", *(f"--ignore={folder}" for folder, _ in SPLIT.values()))
    order = ("hub", "rest", "integration", "integration 2", "browser", "browser 2", "hub 2")
    found = {**halves, "rest": others}
    return {name: found[name] for name in order}


def parts_of(options: argparse.Namespace, folder: Path) -> list[Part]:
    """Return what to run: the tests that are named, quick units only, or all kinds."""
    arguments: list[str] = options.arguments
    if any(Path(each.partition("::")[0]).exists() for each in arguments):
        return [Part("tests", arguments)]
    marks = () if options.nightly else FAST if options.fast else DAILY
    found = UNITS if options.fast else all_parts()
    return [
        Part(name, [*marks, *arguments, *given], folder / f"{number}.log")
        for number, (name, given) in enumerate(found.items())
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true", help="units only")
    parser.add_argument("--nightly", action="store_true", help="also the tests that take longest")
    parser.add_argument("--skipped", action="append", default=[], help="a kind of tests left out")
    parser.add_argument("arguments", nargs="*", help="for pytest")
    options = parser.parse_args()
    if os.environ.get("EASYMLNB_TEST_VERSIONS") == "oldest":
        options.arguments += [f"-Wignore::{name}" for name in OLD]
    started = time.monotonic()
    # Training does not spin while other parts want the processor.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    with tempfile.TemporaryDirectory(prefix="easymlnb-tests-") as folder:
        parts = parts_of(options, Path(folder))
        try:
            with interrupts():
                status, passed = run_parts(parts)
        except Interrupted:
            say("Interrupted: ending the tests ...")
            for part in parts:
                part.interrupt()
            until = time.monotonic() + GRACE
            for part in parts:
                part.end(until - time.monotonic())
            return INTERRUPTED
    for text in options.skipped:
        say(f"Skipped: {text}")
    if passed:
        say(f"{len(passed)} passed only at the second try:")
        print(*(f"  {test}" for test in passed), sep="\n", flush=True)
    say(f"The tests took {(time.monotonic() - started) / 60:.1f} minutes.")
    return status


if __name__ == "__main__":
    sys.exit(main())
