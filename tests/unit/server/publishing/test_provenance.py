"""Differences of versions, and crates that others can read."""

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import pytest
from msgspec import UNSET
from rocrate.rocrate import ROCrate

from easymlnb.contract import bundle
from easymlnb.contract.bundle import Environment, InputFile, Manifest
from easymlnb.contract.environment_record import drift
from easymlnb_server.publishing import provenance, ro_crate
from easymlnb_server.publishing.notebook_diff import NotebookComparer, NotebookDiff, compare
from easymlnb_server.store.provenance import ProvenanceRecord
from support.notebooks import make_notebook

SPEC = {
    "name": "roll",
    "title": "Roll",
    "input": {"type": "object"},
    "output": {},
    "author": "Ada",
    "license": "BSD-3-Clause",
    "metadata": {"citation": "Ada 2026", "doi": "10.1/abc"},
}


def made(**fields: Any) -> Manifest:
    environment = Environment(
        python="3.11.9",
        packages=fields.pop("packages", {"numpy": "2.0", "easymlnb": "1"}),
        commit="c" * 40,
        dirty=True,
        inputs={"/data/big.csv": InputFile(size=7, sha256="a" * 64)},
    )
    return Manifest(notebook="work.ipynb", environment=environment, **fields)


def record(manifest: Manifest, number: int = 1, log: str | None = "l" * 64) -> ProvenanceRecord:
    return ProvenanceRecord(
        "roll", number, "b" * 64, "ada", manifest.to_dict(), "f" * 64, log, 10.0, 20.0, SPEC
    )


def test_files_packages_and_settings_are_compared() -> None:
    before = record(made(files={"a.py": "1" * 64, "gone.py": "2" * 64}))
    packages = {"numpy": "2.1", "easymlnb": "1", "pandas": "3"}
    after = record(made(files={"a.py": "3" * 64, "new.py": "4" * 64}, packages=packages), 2)
    found = provenance.describe(after, "services/roll/notebook", before, UNSET)
    assert (found.version, found.previous, found.publisher, found.dirty) == (2, 1, "ada", True)
    changes = provenance.differences(before, after)
    assert changes == found.changes
    assert changes.files.added == {"new.py": "4" * 64}
    assert changes.files.removed == {"gone.py": "2" * 64}
    assert changes.files.changed == {"a.py": ("1" * 64, "3" * 64)}
    assert changes.packages.changed == {"numpy": ("2.0", "2.1")}
    assert not changes.settings
    text = provenance.readable(1, 2, changes, NotebookDiff())
    assert "numpy 2.0 -> 2.1" in text and "No cell changed" in text


def test_a_version_without_git_has_no_commit() -> None:
    manifest = Manifest(notebook="n.ipynb", environment=Environment(python="3.11.9"))
    found = msgspec.to_builtins(provenance.describe(record(manifest, log=None), "", None, UNSET))
    assert not {"commit", "dirty", "executed", "drift", "changes"} & found.keys()


def test_cells_are_compared() -> None:
    before = make_notebook("a = 1\nb = 2", "first_things_only()", "last = 3")
    after = make_notebook("a = 1\nb = 3", "import os\nfor x in os.environ: 1", "last = 3", "end()")
    before.cells[1] = nbformat.v4.new_markdown_cell("gone")
    after.cells[2].metadata["tags"] = ["skip"]
    found = compare(before, after)
    assert [(one.change, one.before, one.after) for one in found.cells] == [
        ("changed", 0, 0),
        ("added", None, 1),
        ("removed", 1, None),
        ("changed", 2, 2),
        ("added", None, 3),
    ]
    assert {"-b = 2", "+b = 3"} <= set(found.cells[0].lines)
    assert found.cells[1].lines == ["+import os", "+for x in os.environ: 1"]
    assert found.cells[3].lines == ["-tags: ", "+tags: skip"]
    assert "import os" in found.text
    assert compare(before, before) == NotebookDiff()


@pytest.mark.slow
async def test_notebooks_are_compared_in_another_process_once() -> None:
    comparer = NotebookComparer()
    first, second = make_notebook("a = 1"), make_notebook("a = 2")
    found = await comparer.compare(("1", "2"), first, second)
    assert [one.change for one in found.cells] == ["changed"]
    assert await comparer.compare(("1", "2"), second, first) is found


def test_drift_names_what_changed() -> None:
    found = drift({"numpy": "2.0", "scipy": "1.0", "pandas": "3"}, {"numpy": "2.1", "pandas": "3"})
    assert found.changed == {"numpy": ("2.0", "2.1")}
    assert found.missing == {"scipy": "1.0"}
    assert found.sentence == (
        "Packages changed since publishing: numpy 2.0 -> 2.1, scipy 1.0 -> not installed."
    )
    assert not drift({"numpy": "2.0"}, {"numpy": "2.0", "more": "1"})


def test_a_crate_is_read_by_the_rocrate_package(tmp_path: Path) -> None:
    files = {"lib/a.py": b"A = 1", "data.csv": b"x\n1\n"}
    manifest = made(requirements=("numpy==2.0",))
    packed = bundle.open_bundle(bundle.write(manifest, make_notebook("x = 1"), dict(files)))
    target = tmp_path / "crate.zip"
    work = tmp_path / "work"
    work.mkdir()
    executed = nbformat.writes(make_notebook("x = 1")).encode()
    with target.open("wb") as out:
        ro_crate.write(out, record(packed.manifest), packed, executed, work, "https://x/roll")
    with zipfile.ZipFile(target) as archive:
        archive.extractall(tmp_path / "out")
    crate = ROCrate(tmp_path / "out")
    root = crate.root_dataset
    assert root["name"] == "Roll, version 1"
    assert (root["citation"], root["author"][0]["name"]) == ("Ada 2026", "Ada")
    assert root["license"].id == "https://spdx.org/licenses/BSD-3-Clause"
    assert root["conformsTo"].id == ro_crate.PROFILE
    notebook = crate.get("source/work.ipynb")
    assert "SoftwareSourceCode" in notebook.type
    run = crate.get("#run")
    assert run.type == "CreateAction"
    assert run["instrument"].id == "source/work.ipynb"
    assert [one.id for one in run["result"]] == ["executed.ipynb"]
    assert {one.id for one in run["object"]} == {"source/data.csv", "source/lib/a.py", "#input-1"}
    assert run["agent"]["name"] == "ada"
    data = crate.get("source/data.csv")
    assert data["sha256"] == packed.manifest.files["data.csv"]
    assert (tmp_path / "out/source/data.csv").read_bytes() == files["data.csv"]
    environment = json.loads((tmp_path / "out/environment.json").read_text())
    assert environment["packages"]["numpy"] == "2.0"
