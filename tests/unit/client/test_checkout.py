"""A version comes back as a folder, and never into one that has something in it."""

import json
from pathlib import Path

import pytest

from easymlnb.client.checkout import LOCK_FILE, write_checkout
from easymlnb.contract import bundle
from easymlnb.contract.bundle import Environment, Manifest
from easymlnb.contract.environment_lock import EnvironmentLock
from easymlnb.contract.errors import BundleRejected

NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 4,
    "metadata": {},
    "cells": [
        {
            "cell_type": "code",
            "source": "x = 'é'",
            "metadata": {"tags": ["app"]},
            "outputs": [],
            "execution_count": None,
        }
    ],
}


def zipped(files: dict[str, bytes], **fields: object) -> bytes:
    manifest = Manifest(notebook="work.ipynb", **fields)  # type: ignore[arg-type]
    return bundle.write(manifest, NOTEBOOK, dict(files))


def test_notebook_files_and_packages_come_back(tmp_path: Path) -> None:
    made = Environment(python="3.11.9", packages={"easymlnb": "1.0", "numpy": "2.1"})
    data = zipped({"lib/a.py": b"A = 1"}, requirements=("numpy==2.1",), environment=made)
    done = write_checkout(data, tmp_path / "new" / "folder")
    assert done.files == ("lib/a.py", LOCK_FILE, "requirements.txt", "work.ipynb")
    read = json.loads(done.notebook.read_text(encoding="utf-8"))
    assert [(c["source"], c["metadata"]["tags"]) for c in read["cells"]] == [("x = 'é'", ["app"])]
    assert (done.folder / "lib/a.py").read_bytes() == b"A = 1"
    assert "numpy==2.1" in (done.folder / LOCK_FILE).read_text()
    assert bundle.identify(bundle.open_bundle(data).manifest, read) == bundle.open_bundle(data).id


def test_a_lock_comes_back_with_its_wheels(tmp_path: Path) -> None:
    lock = {"requirements.txt": b"tiny==1.0 --hash=sha256:00\n", "tiny-1.0-py3-none-any.whl": b"w"}
    manifest = Manifest(notebook="work.ipynb", lock=EnvironmentLock(python="3.11"))
    done = write_checkout(bundle.write(manifest, NOTEBOOK, {}, lock), tmp_path)
    assert done.files == (LOCK_FILE, "wheels/tiny-1.0-py3-none-any.whl", "work.ipynb")
    assert (tmp_path / LOCK_FILE).read_bytes() == lock["requirements.txt"]
    assert "--find-links wheels" in done.install


def test_files_of_the_version_win_over_ours(tmp_path: Path) -> None:
    data = zipped({"requirements.txt": b"mine"}, requirements=("numpy",))
    write_checkout(data, tmp_path)
    assert (tmp_path / "requirements.txt").read_bytes() == b"mine"


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        write_checkout(zipped({}), tmp_path)
    with pytest.raises(FileExistsError, match="is a file"):
        write_checkout(zipped({}), tmp_path / "mine.txt")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="broken link"):
        write_checkout(zipped({}), tmp_path / "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "mine.txt"]


def test_a_bundle_cannot_write_outside(tmp_path: Path) -> None:
    good = zipped({"aa/evil.py": b"x"})
    for path in (b"../evil.py", b"/a/evil.py"):
        with pytest.raises(BundleRejected, match="Invalid file path"):
            write_checkout(good.replace(b"aa/evil.py", path), tmp_path / "target")
    with pytest.raises(BundleRejected, match="collides"):
        write_checkout(zipped({"work.ipynb": b"{}"}), tmp_path / "other")
    assert not (tmp_path / "evil.py").exists()
