"""The zip of a new version."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.errors import BadRequest, EasyMLNBError
from easymlnb_server.model_registry.uploaded import read_version
from easymlnb_server.store.files import Files

GOOD = {
    "format": "skops",
    "flavor": {"main": "model.skops"},
    "metrics": {"mae": 1.5},
    "curves": [["loss", 1, 0.5]],
}


def zipped(document: Any = GOOD, **files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        if document is not None:
            text = document if isinstance(document, str) else json.dumps(document)
            archive.writestr("model.json", text)
        for name, data in (files or {"files/model.skops": b"tree"}).items():
            archive.writestr(name, data)
    return out.getvalue()


def test_a_version_comes_with_its_files(tmp_path: Path) -> None:
    files = Files(str(tmp_path / "files"))
    body = tmp_path / "version.zip"
    data = zipped(**{"files/model.skops": b"tree", "files/more/x.json": b"{}"})
    for given in (data, body):
        body.write_bytes(data)
        found = read_version(given, files, "ann", trusted=True)
        assert [(file.path, file.size) for file in found.files] == [
            ("model.skops", 4),
            ("more/x.json", 2),
        ]
        assert files.get(found.files[0].sha256) == b"tree"
        assert (found.author, found.origin, found.trusted) == ("ann", "saved", True)
        assert (found.curves[0].name, found.curves[0].step) == ("loss", 1)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"no zip", "not a valid zip"),
        (zipped(None), "no 'model.json'"),
        (zipped("{"), "Send the description"),
        (zipped({**GOOD, "format": "../x"}), "format"),
        (zipped({**GOOD, "more": 1}), "more"),
        (zipped({**GOOD, "flavor": {"main": "other"}}), "main file 'other'"),
        (zipped({**GOOD, "flavor": {"main": 3}}), "main file '3'"),
        (zipped(GOOD, **{"else.txt": b""}), "no files"),
        (zipped(GOOD, **{"files/../../x": b""}), "Invalid file path"),
        (zipped({**GOOD, "metrics": {"": 1.0}}), "A metric must have a name"),
        (zipped({**GOOD, "params": {"a\n": 1}}), "A parameter must have a name"),
        (zipped('{"format": "skops", "flavor": {}, "metrics": {"a": 1e999}}'), "[Ff]inite|range"),
        (zipped({**GOOD, "curves": [["loss", -1, 0.5]]}), "steps"),
    ],
)
def test_bad_zips_are_refused_with_a_reason(tmp_path: Path, body: bytes, text: str) -> None:
    with pytest.raises(EasyMLNBError, match=text) as raised:
        read_version(body, Files(str(tmp_path)), "ann", trusted=False)
    assert isinstance(raised.value, BadRequest)
