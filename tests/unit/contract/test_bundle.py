"""Bundles on the wire: what is read, what is refused, what decides the id."""

import io
import os
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easymlnb.contract import archive, bundle
from easymlnb.contract.archive import check_path
from easymlnb.contract.bundle import Bundle, Environment, Manifest, open_bundle, write
from easymlnb.contract.errors import BundleRejected, EasyMLNBError, TooLarge


def notebook(*sources: str, **changes: Any) -> dict[str, Any]:
    cells = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "source": source,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(sources or ("x = 1",))
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells} | changes


def made(**files: bytes) -> bytes:
    named = {name.replace("__", "/"): data for name, data in files.items()}
    return write(Manifest(notebook="n.ipynb"), notebook(), named)


def rewritten(data: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """Take a good bundle apart, change its entries, zip it again."""
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        entries = {info.filename: source.read(info) for info in source.infolist()}
    change(entries)
    return zipped(list(entries.items()))


def zipped(entries: list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries:
            made.writestr(name, data)
    return target.getvalue()


def with_manifest(data: bytes, **changes: Any) -> bytes:
    def change(entries: dict[str, bytes]) -> None:
        told = msgspec.json.decode(entries["manifest.json"]) | changes
        entries["manifest.json"] = msgspec.json.encode(told)

    return rewritten(data, change)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    manifest = Manifest(
        notebook="dice.ipynb",
        kernel="python3",
        requirements=("numpy==2.0",),
        services=("roll",),
        environment=Environment(python="3.11", packages={"numpy": "2.0"}, commit="ab", dirty=True),
    )
    data = write(manifest, notebook("import tools"), {"tools.py": b"x = 1\n", "data/a b.csv": b"1"})
    for source in (data, tmp_path / "b.zip"):
        if isinstance(source, Path):
            source.write_bytes(data)
        found = open_bundle(source)
        assert found.manifest.environment == manifest.environment
        assert found.manifest.services == ("roll",)
        assert set(found.manifest.files) == {"tools.py", "data/a b.csv"}
        assert found.notebook["cells"][0]["source"] == "import tools"
        folder = tmp_path / type(source).__name__
        found.extract(folder)
        assert (folder / "tools.py").read_bytes() == b"x = 1\n"
        assert (folder / "data/a b.csv").read_bytes() == b"1"
        assert stat.S_IMODE((folder / "tools.py").stat().st_mode) == 0o600
        assert sorted(file.name for file in folder.rglob("*") if file.is_file()) == [
            "a b.csv",
            "tools.py",
        ]


def test_the_same_content_makes_the_same_bytes() -> None:
    first = write(Manifest(notebook="n.ipynb"), notebook(), {"a": b"1", "b": b"2"})
    again = write(Manifest(notebook="n.ipynb"), notebook(), {"b": b"2", "a": b"1"})
    assert first == again


def test_a_run_leaves_the_id_as_it_is() -> None:
    clean = notebook("a = 1", "b = 2")
    run = notebook("a = 1", "b = 2")
    run["metadata"] = {"widgets": {"x": 1}, "language_info": {"version": "3.99"}}
    run["nbformat_minor"] = 4
    for number, cell in enumerate(run["cells"]):
        cell |= {
            "id": "other",
            "execution_count": number,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "hi"}],
            "metadata": {"execution": {"iopub.status.busy": "2026"}, "collapsed": True},
            "source": cell["source"].splitlines(keepends=True),
        }
    there = Manifest(
        notebook="renamed.ipynb",
        services=("roll",),
        environment=Environment(python="3.13", created="now"),
    )
    assert bundle.identify(there, run) == bundle.identify(Manifest(notebook="n.ipynb"), clean)
    assert "hi" not in str(bundle.strip(run)) and "widgets" not in str(bundle.strip(run))


def test_what_changes_a_run_changes_the_id() -> None:
    def tagged() -> dict[str, Any]:
        changed = notebook()
        changed["cells"][0]["metadata"] = {"tags": ["skip"]}
        return changed

    plain = Manifest(notebook="n.ipynb")
    ids = [
        open_bundle(data).id
        for data in (
            write(plain, notebook(), {}),
            write(plain, notebook("x = 2"), {}),
            write(plain, tagged(), {}),
            write(plain, notebook(), {"a": b"1"}),
            write(plain, notebook(), {"a": b"2"}),
            write(msgspec.structs.replace(plain, kernel="ir"), notebook(), {}),
            write(msgspec.structs.replace(plain, requirements=("a==1",)), notebook(), {}),
        )
    ]
    assert len(set(ids)) == len(ids)


GOOD = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"),
    min_size=1,
    max_size=20,
).filter(lambda part: part not in (".", "..") and part[1:2] != ":")


@given(
    st.dictionaries(st.lists(GOOD, min_size=1, max_size=3).map("/".join), st.binary(), max_size=4)
)
def test_any_plain_names_and_contents_survive(files: dict[str, bytes]) -> None:
    paths = sorted(files)
    for path in paths:
        if any(other.startswith(path + "/") for other in paths):
            del files[path]
    found = open_bundle(write(Manifest(notebook="n.ipynb"), notebook(), files))
    assert set(found.manifest.files) == set(files)


BAD_PATHS = [
    "",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a//b",
    "./a",
    "a/.",
    "a/",
    "..\\x",
    "a\\b",
    "C:/x",
    "c:x",
    "a\nb",
    "a\x00b",
    "a\udc80",
    "x" * 256,
    "/".join(["x" * 200] * 6),
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_could_leave_the_folder_is_refused(path: str) -> None:
    with pytest.raises(BundleRejected):
        check_path(path)
    with pytest.raises(BundleRejected):
        write(Manifest(notebook="n.ipynb"), notebook(), {path: b"x"})


@given(st.text(st.sampled_from("./\\a:\x00~"), min_size=1, max_size=12))
def test_an_accepted_path_stays_inside(path: str) -> None:
    try:
        check_path(path)
    except BundleRejected:
        return
    assert os.path.normpath("/root/" + path) == "/root/" + path
    assert not os.path.isabs(path)


@pytest.mark.parametrize("name", ["files/../../x", "/files/x", "files/a\\..\\b", "files/x\x00.py"])
def test_a_zip_with_a_bad_name_is_refused(name: str) -> None:
    def change(entries: dict[str, bytes]) -> None:
        entries["files/" + "~" * (len(name) - 6)] = b"x"

    # zipfile itself tidies names on writing, so the bytes are patched.
    data = rewritten(made(), change)
    data = data.replace(("files/" + "~" * (len(name) - 6)).encode(), name.encode())
    with pytest.raises(BundleRejected, match="Use relative paths"):
        open_bundle(data)


def test_a_link_is_refused() -> None:
    link = zipfile.ZipInfo("files/link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BundleRejected, match="links"):
        open_bundle(zipped([("manifest.json", b"{}"), (link, b"/etc/passwd")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(BundleRejected, match="twice"):
        open_bundle(zipped([("files/a", b"1"), ("files/a", b"2")]))


def test_a_file_that_is_also_a_folder_is_refused() -> None:
    with pytest.raises(BundleRejected, match="both a file and a folder"):
        open_bundle(zipped([("files/a", b"1"), ("files/a/b", b"2")]))


def test_folder_entries_of_a_hand_made_zip_are_fine() -> None:
    data = rewritten(made(d__a=b"1"), lambda entries: entries.update({"files/d/": b""}))
    assert set(open_bundle(data).manifest.files) == {"d/a"}


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"%PDF-1.7", b"PK\x05\x06" + b"\0" * 10, b"\0" * 9000]
)
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    with pytest.raises(BundleRejected, match="not a valid zip"):
        open_bundle(data)


def test_an_empty_zip_is_no_bundle() -> None:
    with pytest.raises(BundleRejected, match=r"manifest\.json is missing"):
        open_bundle(zipped([]))


def test_damage_anywhere_is_noticed_or_harmless() -> None:
    good = made(**{"a.py": b"x = 1\n" * 50})
    expected = open_bundle(good).id
    dice = random.Random(7)
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
        cut = bytes(bad[: dice.choice([len(bad), dice.randrange(len(bad))])])
        try:
            found = open_bundle(cut)
        except EasyMLNBError:
            continue
        assert found.id == expected


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped([("files/zeros", b"\0" * (30 * 2**20))])
    assert len(data) < 100_000
    with pytest.raises(TooLarge, match="times its size"):
        open_bundle(data)
    monkeypatch.setattr(archive, "MAX_UNPACKED", 2**20)
    with pytest.raises(TooLarge, match="unpacked"):
        open_bundle(data)


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    data = bytearray(zipped([("files/zeros", b"\0" * (30 * 2**20))]))
    true = struct.pack("<I", 30 * 2**20)
    assert data.count(true) >= 2
    with pytest.raises(BundleRejected):
        lying = bytes(data.replace(true, struct.pack("<I", 10)))
        with archive.Archive(lying) as opened:
            opened.read("files/zeros", 100)


def test_files_that_share_bytes_are_refused() -> None:
    data = bytearray(zipped([("files/a", b"x" * 1000), ("files/b", b"y" * 1000)]))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    with pytest.raises(BundleRejected, match="overlap"):
        open_bundle(bytes(data))


def test_too_many_files_are_refused() -> None:
    many = zipped([(f"files/{number}", b"") for number in range(archive.MAX_ENTRIES + 1)])
    with pytest.raises(TooLarge, match="5001 files"):
        open_bundle(many)
    huge = bytearray(made())
    at = huge.rindex(b"PK\x05\x06")
    huge[at + 12 : at + 16] = struct.pack("<I", 2**31)
    with pytest.raises(TooLarge, match="too many files"):
        open_bundle(bytes(huge))


def test_a_zip_over_the_limit_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "big.zip").open("wb") as file:
        file.truncate(archive.MAX_ZIP + 1)
    with pytest.raises(TooLarge, match="limit of 200 MB"):
        open_bundle(tmp_path / "big.zip")


def test_content_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path) -> None:
    data = rewritten(made(a=b"1"), lambda entries: entries.update({"files/a": b"2"}))
    with pytest.raises(BundleRejected, match="does not match"):
        open_bundle(data)
    unchecked: Bundle = open_bundle(data, verify=False)
    with pytest.raises(BundleRejected, match="does not match"):
        unchecked.extract(tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(BundleRejected, match="collides"):
        open_bundle(made(a=b"1")).extract(tmp_path)
    assert (tmp_path / "a").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda e: e.pop("notebook.ipynb"), r"no notebook\.ipynb"),
        (lambda e: e.update({"files/b": b"1"}), "does not list"),
        (lambda e: e.update({"readme": b"1"}), "does not list"),
        (lambda e: e.pop("files/a"), "the file is missing"),
        (lambda e: e.update({"manifest.json": b"\xff{"}), "is not valid JSON"),
        (lambda e: e.update({"manifest.json": b"[]"}), "not a JSON object"),
        (lambda e: e.update({"manifest.json": b"[" * 100_000}), "is not valid JSON"),
        (lambda e: e.update({"notebook.ipynb": b"print(1)"}), "is not valid JSON"),
        (lambda e: e.update({"notebook.ipynb": b'{"a": 1}'}), "not a notebook"),
        (lambda e: e.update({"notebook.ipynb": b'{"cells": [1], "nbformat": 4}'}), "Cell 0"),
        (lambda e: e.update({"notebook.ipynb": b'{"cells": [], "nbformat": 3}'}), "nbformat 4"),
    ],
)
def test_a_malformed_bundle_is_refused(
    change: Callable[[dict[str, bytes]], Any], sentence: str
) -> None:
    with pytest.raises(BundleRejected, match=sentence):
        open_bundle(rewritten(made(a=b"1"), change))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2}, "format 2"),
        ({"notebook": "../n.ipynb"}, "Use relative paths"),
        ({"notebook": "a/n.ipynb"}, "file name"),
        ({"notebook": 5}, "is invalid"),
        ({"kernel": "../k"}, "kernelspec"),
        ({"services": ["Bad Name"]}, "Invalid service name"),
        ({"requirements": ["a\n--index-url=http://evil"]}, "Invalid requirement"),
        ({"files": {"a": "no"}}, "SHA-256"),
    ],
)
def test_a_manifest_with_wrong_values_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BundleRejected, match=sentence):
        open_bundle(with_manifest(made(a=b"1"), **changes))
