"""Build the locked environments of bundles with uv, each once, and remove unused ones."""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from easymlnb.contract import uv
from easymlnb.contract.bundle import Bundle
from easymlnb.contract.environment_lock import REQUIREMENTS, EnvironmentLock, pins
from easymlnb.contract.errors import DeploymentFailed
from easymlnb_server.placement.locked_python import LockedPython
from easymlnb_server.workers import runtime_copy

TIMEOUT = 3600.0
"""Seconds for one run of uv, which may download gigabytes."""

EVERY = 86400.0
"""Seconds between two removals of unused environments."""

UNUSED = 86400.0
"""Seconds after its last use until an environment that no bundle needs is removed."""

PARTIAL = "new-"
"""Beginning of the names of folders that are being written."""

MARK = "used"
"""File whose time says when the environment was last used."""

SHOWN = 2000
"""Characters of uv's last output in an error."""

OnText = Callable[[str], None]

log = logging.getLogger("easymlnb.environments")


class LockedEnvironments:
    """The locked environments of a server, by the hash of their lock.

    Parameters
    ----------
    folder
        Where they are.
    specs
        Finds the interpreter of a kernel.
    index_url, wheelhouse
        Where packages come from; empty for uv's own settings.
    shared
        Whether workers of other accounts use them. Packages that would have to be built are then
        refused, because that runs their code.
    """

    def __init__(
        self,
        folder: Path,
        specs: KernelSpecManager,
        *,
        index_url: str = "",
        wheelhouse: str = "",
        shared: bool = False,
    ) -> None:
        self._folder = folder
        self._shared = shared
        self._only_wheels = ["--only-binary", ":all:"] if shared else []
        self._specs = specs
        self._index = uv.index_options(index_url, wheelhouse)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def prepare(self, bundle: Bundle, on_text: OnText) -> LockedPython | None:
        """Return the environment of a bundle, built if necessary; ``None`` without a lock.

        ``on_text`` gets sentences about the progress. Raises ``DeploymentFailed``.
        """
        lock = bundle.manifest.lock
        if lock is None:
            return None
        async with self._locks[lock.id]:
            target = self._folder / lock.id
            if not await asyncio.to_thread(_touch, target / MARK):
                await self._build(bundle, lock, target, on_text)
            runtime = await asyncio.to_thread(self._runtime)
        return LockedPython(target / "env", runtime)

    def _runtime(self) -> Path:
        found = runtime_copy.folder_of(self._folder)
        if found.is_dir():
            return runtime_copy.copy_runtime(self._folder)
        found = runtime_copy.copy_runtime(self._folder)
        if self._shared:
            _let_all_read(found)
            # Who knows the hash of a lock may use its environment; nobody can list the others.
            self._folder.chmod(0o711)
        return found

    async def _build(
        self, bundle: Bundle, lock: EnvironmentLock, target: Path, on_text: OnText
    ) -> None:
        program = uv.find_uv()
        if not program:
            raise DeploymentFailed(f"The locked environment of this version needs {uv.HINT}.")
        partial = self._folder / f"{PARTIAL}{uuid.uuid4().hex}"
        try:
            wheels = partial / "lock"
            await asyncio.to_thread(bundle.extract_lock, wheels)
            lines = wheels / REQUIREMENTS
            count = len(pins(await asyncio.to_thread(lines.read_text, "utf-8", "replace")))
            progress = _progress(f"Building the locked environment ({count} packages)", on_text)
            python = await self._interpreter(bundle.manifest.kernel, lock.python)
            environment = partial / "env"
            create = ["venv", "--quiet", "--relocatable", "--no-project", "--python", python]
            await _run([program, *create, str(environment)], progress)
            install = ["pip", "install", "--python", str(environment / "bin" / "python")]
            install += ["--no-deps", "--require-hashes", *self._only_wheels, "-r", str(lines)]
            await _run([program, *install, "--find-links", str(wheels), *self._index], progress)
            if self._shared:
                await asyncio.to_thread(_let_all_read, partial)
            await asyncio.to_thread(_finish, partial, target)
        finally:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
        log.info("Built the locked environment %s.", lock.id[:12])

    async def _interpreter(self, kernel: str, version: str) -> str:
        """Return the kernel's interpreter if it has this version of Python, else the version."""
        try:
            spec = await asyncio.to_thread(self._specs.get_kernel_spec, kernel)
        except NoSuchKernel:
            return version
        program = spec.argv[0] if spec.argv else ""
        found = program if os.path.isabs(program) else shutil.which(program) or ""
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        with contextlib.suppress(OSError, DeploymentFailed):
            if found and (await _run([found, "-c", code], lambda text: None)).strip() == version:
                return found
        return version

    async def run(self, needed: Callable[[], Collection[str]]) -> None:
        """Remove unused environments every day; ``needed`` blocks."""
        while True:
            names = await asyncio.to_thread(needed)
            await asyncio.to_thread(self.collect, names)
            await asyncio.sleep(EVERY)

    def collect(self, needed: Collection[str]) -> int:
        """Remove environments that are unused and not ``needed``; return how many. Blocks."""
        removed = 0
        current = runtime_copy.folder_of(self._folder)
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            mark = path / MARK if (path / MARK).exists() else path
            with contextlib.suppress(OSError):
                unused = time.time() - mark.stat().st_mtime > UNUSED
                if unused and path.name not in needed and path != current:
                    shutil.rmtree(path)
                    removed += 1
        return removed


async def prepare(
    environments: LockedEnvironments | None, bundle: Bundle, on_text: OnText
) -> LockedPython | None:
    """Return the environment of a bundle; raises ``DeploymentFailed`` where there are none."""
    if bundle.manifest.lock is None:
        return None
    if environments is None:
        raise DeploymentFailed(
            "The version has a locked environment, but workers of this server run on nodes with "
            "the packages of their node. Publish with environment='kernel', or ask the "
            "administrator to set EasyMLNB.environment_folder."
        )
    return await environments.prepare(bundle, on_text)


def _touch(mark: Path) -> bool:
    """Note that an environment is used; return whether it exists."""
    try:
        os.utime(mark)
    except FileNotFoundError:
        return False
    return True


def _finish(partial: Path, target: Path) -> None:
    """Give a built environment its name, unless another process was faster."""
    shutil.rmtree(partial / "lock")
    (partial / MARK).write_text(json.dumps({"built": time.time()}), encoding="utf-8")
    try:
        os.rename(partial, target)
    except OSError:
        if not (target / MARK).exists():
            raise


def _let_all_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))


def _progress(what: str, on_text: OnText) -> OnText:
    on_text(f"{what} ...")

    def show(line: str) -> None:
        # uv lists each installed package; its other lines say what it does.
        text = line.strip()
        if text and not text.startswith(("+", "-", "~")):
            on_text(f"{what}: {text[:200]}")

    return show


async def _run(command: list[str], on_line: OnText) -> str:
    """Run a command and return its output; raises ``DeploymentFailed`` if it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_variables(),
        limit=2**20,
    )
    assert process.stdout is not None and process.stderr is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(TIMEOUT):
            out = asyncio.ensure_future(process.stdout.read())
            async for raw in process.stderr:
                said.append(raw.decode(errors="replace"))
                on_line(said[-1])
            text = (await out).decode(errors="replace")
            await process.wait()
    except TimeoutError as error:
        raise DeploymentFailed(
            f"The locked environment was not built within {TIMEOUT:g} s."
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise DeploymentFailed(
            "The locked environment could not be built. The server must reach a package index or a "
            "wheelhouse (EasyMLNB.environment_index_url, EasyMLNB.environment_wheelhouse). uv "
            f"reports: {''.join(said).strip()[-SHOWN:]}"
        )
    return text


def _variables() -> dict[str, str]:
    """Return the environment of uv, without the token and secrets of this server."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EASYMLNB_", "JUPYTER", "JPY_", "CONDA_"))
    }
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        kept.pop(name, None)
    return kept | {"NO_COLOR": "1"}
