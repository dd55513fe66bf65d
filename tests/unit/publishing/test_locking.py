"""Locks of packages: what is pinned, what becomes a wheel, and what is said if that fails."""

import json
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import pytest

from easymlnb.contract import uv
from easymlnb.contract.bundle import open_bundle
from easymlnb.contract.environment_lock import REQUIRE_ENV, REQUIREMENTS, WHEELHOUSE_ENV, pins
from easymlnb.contract.errors import BundleRejected, DefinitionError
from easymlnb.publishing.bundle import build_bundle, locking
from easymlnb.publishing.bundle.environment import needed_packages
from easymlnb.publishing.bundle.locking import chosen_environment, lock_packages
from easymlnb.publishing.bundle.repack import repack
from support.notebooks import make_notebook

CODE = "import easymlnb as ml\n@ml.service{options}\ndef roll() -> int:\n    return 1"


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of all that a notebook without imports needs, from what is installed here."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    for name in needed_packages((), ()).keys() - {"easymlnb"}:
        repack(metadata.distribution(name), folder)
    return folder


def test_dependencies_and_extras_are_needed() -> None:
    found = needed_packages(["fsspec[http]>=1", "nosuch-package==1", "-r more.txt"], ["nbformat"])
    assert found["nbformat"] == metadata.version("nbformat")
    assert {"easymlnb", "pydantic-core", "jsonschema", "traitlets", "fsspec"} <= found.keys()
    assert "nosuch-package" not in found
    assert "pytest" not in found  # an extra that nobody asks for


def test_a_repacked_wheel_is_the_installed_package(tmp_path: Path) -> None:
    first = repack(metadata.distribution("markdown-it-py"), tmp_path)
    (tmp_path / "again").mkdir()
    again = repack(metadata.distribution("markdown-it-py"), tmp_path / "again")
    assert first.read_bytes() == again.read_bytes()
    assert first.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(first) as wheel:
        names = set(wheel.namelist())
        record = next(name for name in names if name.endswith(".dist-info/RECORD"))
        listed = {line.partition(",")[0] for line in wheel.read(record).decode().splitlines()}
    assert listed == names
    assert "markdown_it/__init__.py" in names
    assert not any(name.endswith((".pyc", "INSTALLER", "direct_url.json")) for name in names)
    assert not any(".data/" in name for name in names)  # its script is made again


def test_the_lock_is_part_of_the_bundle(
    wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WHEELHOUSE_ENV, str(wheelhouse))
    path = tmp_path / "work.ipynb"
    nbformat.write(make_notebook(CODE.format(options="(environment='locked')")), path)
    made = build_bundle(path)
    lock = made.manifest.lock
    assert lock is not None and {*lock.files} == {REQUIREMENTS}
    assert build_bundle(path).id == made.id != build_bundle(path, environment="kernel").id
    bundle = open_bundle(made.data)
    bundle.extract_lock(tmp_path / "lock")
    text = (tmp_path / "lock" / REQUIREMENTS).read_text()
    pinned = pins(text)
    assert text.count("--hash=sha256:") == len(pinned)
    assert pinned["msgspec"] == metadata.version("msgspec")
    assert "easymlnb" not in pinned
    assert any("is locked" in note for note in made.notes)


def test_what_no_index_has_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WHEELHOUSE_ENV, str(tmp_path))
    with pytest.raises(BundleRejected, match=r"environment_wheelhouse(.|\n)*uv reports:(.|\n)*=="):
        lock_packages(needed_packages((), ()), tmp_path)


def test_without_uv_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uv.shutil, "which", lambda *args, **options: None)
    with pytest.raises(BundleRejected, match=r"needs uv, .*: pip install uv\."):
        lock_packages(needed_packages((), ()), tmp_path)


def test_local_packages_become_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origins: dict[str, Any] = {"comm": {"url": "file:///src/comm", "dir_info": {}}}
    monkeypatch.setattr(locking, "_origin", lambda found: origins.get(found.name.lower()))
    monkeypatch.setattr(locking, "_compile", lambda program, pinned: [f"{pin}" for pin in pinned])
    monkeypatch.setattr(locking.sys, "prefix", str(tmp_path))
    (tmp_path / "conda-meta").mkdir()
    found = lock_packages(needed_packages((), ()), tmp_path)
    (wheel,) = {*found.files} - {REQUIREMENTS}
    assert wheel.startswith("comm-")
    text = found.files[REQUIREMENTS]
    assert isinstance(text, bytes) and b"--hash=sha256:" in text
    assert pins(text.decode())["comm"] == metadata.version("comm")
    assert any("conda" in note for note in found.notes)


@pytest.mark.parametrize(("installer", "own"), [("conda", []), ("pip", ["made"])])
def test_packages_of_conda_come_from_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installer: str, own: list[str]
) -> None:
    info = tmp_path / "made-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made\nVersion: 1.0\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (info / "INSTALLER").write_text(f"{installer}\n")
    (info / "RECORD").write_text("made-1.0.dist-info/METADATA,,\nmade-1.0.dist-info/WHEEL,,\n")
    # conda-build leaves the folder in which it made the package.
    origin = {"url": "file:///home/conda/feedstock_root/build_artifacts/made", "dir_info": {}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    found = metadata.Distribution.at(info)
    monkeypatch.setattr(locking.metadata, "distribution", lambda name: found)
    assert [name for name, _ in locking.own_wheels("uv", ["made"], tmp_path)] == own


def test_the_environment_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_ENV, raising=False)
    assert chosen_environment(None, in_code=False) == "kernel"
    assert chosen_environment(None, in_code=True) == "locked"
    assert chosen_environment("kernel", in_code=True) == "kernel"
    monkeypatch.setenv(REQUIRE_ENV, "1")
    assert chosen_environment(None, in_code=False) == "locked"
    with pytest.raises(DefinitionError, match="'kernel' or 'locked'"):
        chosen_environment("frozen", in_code=False)


def test_inputs_outside_of_the_bundle_are_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "model.bin").write_bytes(b"weights")
    (tmp_path / "api_key.txt").write_bytes(b"secret")
    (folder / "data.csv").write_bytes(b"x\n1\n")
    outside = str(tmp_path / "model.bin")
    code = f"open('data.csv'); open({outside!r}); open('../api_key.txt'); open('/nosuch/file')"
    path = folder / "work.ipynb"
    nbformat.write(make_notebook(code), path)
    made = build_bundle(path)
    assert {*made.manifest.files} == {"data.csv"}
    assert {*made.manifest.environment.inputs} == {outside}
    assert made.manifest.environment.inputs[outside].size == 7
    (tmp_path / "model.bin").write_bytes(b"other weights")
    assert build_bundle(path).id == made.id  # a record, not content
    assert json.dumps(made.manifest.to_dict())
