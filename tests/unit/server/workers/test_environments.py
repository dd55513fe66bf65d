"""Locked environments: built once, explained when impossible, removed when unused."""

import os
import sys
import time
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from easymlnb.contract import bundle as contract
from easymlnb.contract.bundle import Bundle, Manifest
from easymlnb.contract.environment_lock import EnvironmentLock
from easymlnb.contract.errors import BundleRejected, DeploymentFailed
from easymlnb_server.placement.locked_python import LockedPython
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.workers.environments import MARK, UNUSED, LockedEnvironments, prepare
from support.notebooks import make_notebook

PIN = b"nosuch-package==1.0 \\\n    --hash=sha256:" + b"0" * 64 + b"\n"


def locked(kernel: str = "nosuch") -> Bundle:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    manifest = Manifest(notebook="n.ipynb", kernel=kernel, lock=EnvironmentLock(python=python))
    data = contract.write(manifest, make_notebook("x = 1"), {}, {"requirements.txt": PIN})
    return contract.open_bundle(data)


def environments(folder: Path) -> LockedEnvironments:
    return LockedEnvironments(folder, KernelSpecManager(), wheelhouse=str(folder.parent))


@pytest.mark.slow
async def test_a_package_that_is_nowhere_is_named(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(DeploymentFailed, match=r"could not be built(.|\n)*nosuch-package"):
        await environments(tmp_path / "environments").prepare(locked(), said.append)
    assert said[0] == "Building the locked environment (1 packages) ..."
    assert list((tmp_path / "environments").iterdir()) == []


async def test_an_environment_is_built_once(tmp_path: Path) -> None:
    bundle = locked()
    assert bundle.manifest.lock is not None
    (tmp_path / "env" / bundle.manifest.lock.id).mkdir(parents=True)
    (tmp_path / "env" / bundle.manifest.lock.id / MARK).touch()
    found = await environments(tmp_path / "env").prepare(bundle, lambda text: None)
    assert found is not None and found.folder.parent.name == bundle.manifest.lock.id
    assert (found.runtime / "easymlnb" / "_version.py").is_file()
    assert sorted(path.name.partition("-")[0] for path in found.runtime.iterdir()) == [
        "easymlnb",
        "easymlnb",
    ]


async def test_where_workers_are_on_nodes_a_lock_is_refused() -> None:
    with pytest.raises(DeploymentFailed, match="environment='kernel'"):
        await prepare(None, locked(), lambda text: None)


async def test_a_server_may_require_locks() -> None:
    published = PublishedServices()
    published.open()
    publisher = Publisher(published, lambda *args: None, require_locked=True)  # type: ignore[arg-type, return-value]
    data = contract.write(Manifest(notebook="n.ipynb"), make_notebook("x = 1"), {})
    with pytest.raises(BundleRejected, match="--locked"):
        await publisher.publish(data, (), "alice")


def test_unused_environments_are_removed(tmp_path: Path) -> None:
    old = time.time() - UNUSED - 10
    for name, used in (("needed", old), ("unused", old), ("recent", time.time()), ("new-1", old)):
        (tmp_path / name).mkdir()
        mark = tmp_path / name if name == "new-1" else tmp_path / name / MARK
        mark.touch()
        os.utime(mark, (used, used))
    assert environments(tmp_path).collect({"needed"}) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["needed", "recent"]


def test_workers_get_no_variables_of_other_environments() -> None:
    made = LockedPython(Path("/locked/env"), Path("/locked/runtime"))
    inherited = {"PATH": "/usr/bin", "PYTHONPATH": "/mine", "CONDA_PREFIX": "/conda", "HOME": "/me"}
    assert made.variables(inherited) == {
        "HOME": "/me",
        "PATH": "/locked/env/bin:/usr/bin",
        "PYTHONNOUSERSITE": "1",
        "PYTHONPATH": "/locked/runtime",
        "VIRTUAL_ENV": "/locked/env",
    }
