"""Files of other catalogs as metadata of a service, and back."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import easymlnb as ml
from easymlnb.contract import catalog_files
from easymlnb.contract.errors import BadRequest, EasyMLNBError
from easymlnb.services.definition import define

AI4OS = {
    "metadata_version": "2.3.0",
    "title": "Bridges",
    "summary": "Finds thermal bridges.",
    "description": "Finds thermal bridges on roofs.",
    "doi": "10.5281/zenodo.1",
    "dates": {"created": "2024-07-18", "updated": "2024-12-05"},
    "links": {
        "source_code": "https://example.org/code",
        "dataset": "https://example.org/data",
        "citation": "https://example.org/paper",
        "docker_image": "ai4oshub/bridges",
    },
    "tags": ["deep learning"],
    "tasks": ["Computer Vision", "Other"],
    "categories": ["AI4 pre trained"],
    "libraries": ["PyTorch"],
    "data-type": ["Image"],
    "resources": {"inference": {"cpu": 1, "gpu": 2, "memory_MB": 8000, "storage_MB": 10}},
}
FIELDS = {
    "title": "Bridges",
    "summary": "Finds thermal bridges.",
    "description": "Finds thermal bridges on roofs.",
    "doi": "10.5281/zenodo.1",
    "tags": ["deep learning"],
    "source": "https://example.org/code",
    "dataset": "https://example.org/data",
    "citation": "https://example.org/paper",
    "date": "2024-07-18",
    "libraries": ["PyTorch"],
    "tasks": ["Computer Vision"],
    "resources": {"cpu": 1, "gpu": 2, "memory": 8000 * 2**20, "storage": 10 * 2**20},
}


def test_ai4os() -> None:
    assert catalog_files.read(AI4OS) == (FIELDS, [])
    linked = AI4OS | {"@context": "https://x", "tasks": ["Computer_Vision"], "uri": "https://x"}
    assert catalog_files.read(linked) == (FIELDS, [])


def test_deep() -> None:
    document = {
        "title": "Old",
        "summary": "S",
        "description": ["One.", "", "Two."],
        "keywords": ["a"],
        "license": "MIT",
        "date_creation": "2019-01-01",
        "cite_url": "https://example.org/cite",
        "sources": {"code": "https://example.org/code", "dockerfile_repo": "x"},
    }
    fields, problems = catalog_files.read(document)
    assert (fields["description"], fields["tags"], problems) == ("One.\n\nTwo.", ["a"], [])
    assert (fields["source"], fields["citation"]) == (
        "https://example.org/code",
        "https://example.org/cite",
    )


def test_json_ld_with_any_prefixes() -> None:
    node = {
        "@id": "https://example.org/model",
        "@type": ["http://data.europa.eu/it6/MachineLearningModel"],
        "http://purl.org/dc/terms/title": [{"@value": "T", "@language": "en"}],
        "dcterms:description": "D",
        "dct:created": {"@type": "xsd:dateTime", "@value": "2024-07-18T00:00:00"},
        "dct:license": {"@id": "https://spdx.org/licenses/CC-BY-4.0.html"},
        "dct:creator": {"@type": "foaf:Agent", "foaf:name": "Ann"},
        "dcat:keyword": ["a", {"@value": "b"}],
        "it6:trainedOn": {"@id": "https://example.org/data"},
        "it6:hasRepository": [{"@id": "https://example.org/code"}, {"@id": "https://hub/x"}],
        "it6:hasBibliographicReference": {"dct:bibliographicCitation": "Ann 2024"},
        "it6:hasMachineLearningLibrary": {
            "@id": "http://w3id.org/ai4os/vocabulary/library/PyTorch"
        },
        "it6:hasTaskType": ["http://w3id.org/ai4os/vocabulary/tasktype/Computer_Vision"],
    }
    fields, problems = catalog_files.read({"@context": {}, "@graph": [3, {"@type": "x"}, node]})
    assert problems == []
    assert fields == {
        "title": "T", "description": "D", "author": "Ann", "license": "CC-BY-4.0",
        "tags": ["a", "b"], "date": "2024-07-18", "citation": "Ann 2024",
        "dataset": "https://example.org/data", "source": "https://example.org/code",
        "libraries": ["PyTorch"], "tasks": ["Computer Vision"],
    }  # fmt: skip


def test_what_cannot_be_used_is_named() -> None:
    document = AI4OS | {"title": 3, "tags": "no list", "links": {"dataset": "ftp://x"}, "doi": {}}
    fields, problems = catalog_files.read(document)
    assert [one.field for one in problems] == ["title", "tags", "dataset"]
    assert "title" not in fields and fields["summary"] == "Finds thermal bridges."
    wrong: dict[str, Any] = {
        "metadata_version": 1, "links": 3, "dates": [], "resources": {"inference": {"cpu": "x"}}
    }  # fmt: skip
    assert [one.field for one in catalog_files.read(wrong)[1]] == ["resources", "metadata_version"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "has no fields"),
        ([1], "has no fields"),
        ({"a": 1}, "neither metadata_version"),
        ({"@context": {}, "@type": "Dataset"}, "no node of the type"),
        ({"@graph": 3}, "no node of the type"),
    ],
)
def test_other_documents_are_refused(document: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        catalog_files.read(document)


def test_a_file_fills_the_decorator(tmp_path: Path) -> None:
    path = tmp_path / "ai4-metadata.yml"
    path.write_text(yaml.safe_dump(AI4OS))
    options = ml.read_metadata(path)

    def bridges(x: int) -> int:
        return x

    spec = define(bridges, **options).spec
    assert (spec.title, spec.tags) == ("Bridges", ("deep learning",))
    assert spec.metadata is not None and spec.metadata.tasks == ("Computer Vision",)


def test_a_file_with_invalid_fields_warns(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(AI4OS | {"doi": "no"}))
    with pytest.warns(UserWarning, match=r"m\.json: some metadata are left out\. doi: .*DOI"):
        assert "doi" not in ml.read_metadata(path)["metadata"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xff", "not UTF-8"),
        (b"a: [", "neither valid JSON nor valid YAML"),
        (b"&a [*a, *b]", "neither valid JSON nor valid YAML"),
        (b"x" * 2**20 + b"y", "exceeds the limit"),
        (b"[" * 3000, "neither valid JSON nor valid YAML"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "broken.yml"
    path.write_bytes(content)
    with pytest.raises(EasyMLNBError, match=rf"broken\.yml: .*{said}"):
        ml.read_metadata(path)
    with pytest.raises(EasyMLNBError, match="cannot be read"):
        ml.read_metadata(tmp_path)


@pytest.mark.parametrize("version", ["9.9.9", 23, [2], None])
def test_a_file_of_another_version_is_read_with_a_warning(version: Any) -> None:
    fields, problems = catalog_files.read({"metadata_version": version, "title": "Cells"})
    assert fields == {"title": "Cells"}
    assert [one.field for one in problems] == ["metadata_version"]


def test_a_small_file_cannot_become_a_large_text() -> None:
    nested: list[object] = ["x"] * 9
    for _ in range(9):  # as with aliases in YAML
        nested = [nested] * 9
    fields, _ = catalog_files.read(
        {"date_creation": "2026-03-31", "description": ["Counts cells.", nested]}
    )
    assert fields == {"date": "2026-03-31", "description": "Counts cells."}
