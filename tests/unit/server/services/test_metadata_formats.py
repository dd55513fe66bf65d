"""A service described for other catalogs: their fields, their closed lists, nothing made up."""

from easymlnb.contract.metadata import Metadata, Resources
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.services.metadata_formats import (
    DescribedService,
    ai4os,
    deep,
    document,
    schema_org,
)

INPUT = {"properties": {"a": {"x-easymlnb": {"widget": "timeseries"}}, "b": {"type": "number"}}}
FULL = DescribedService(
    ServiceSpec(
        name="cells",
        title="Cell counter",
        description="Counts *cells*.\n\nMore.",
        author="A. Author",
        license="CC-BY-4.0",
        tags=("biology",),
        input=INPUT,
        output={},
        metadata=Metadata(
            date="2026-03-31",
            doi="10.5281/zenodo.1",
            dataset="https://example.org/data",
            source="https://example.org/code",
            libraries=("pytorch", "sklearn", "OpenCV", "numpy"),
            tasks=("computer vision", "Juggling"),
            resources=Resources(memory=4 * 2**30, gpu=2, gpu_memory=8 * 2**30),
            thumbnail="data:image/png;base64,AAAA",
        ),
    ),
    "3",
    "2026-04-01",
    "https://hub/easymlnb/services/cells/page",
    "https://hub/easymlnb/services/cells/thumbnail",
)
BARE = DescribedService(
    ServiceSpec(name="x", title="X", input={}, output={}), "live", "", "http://h/x/page"
)


def test_deep_has_its_fields():
    assert deep(FULL) == {
        "title": "Cell counter",
        "summary": "Counts cells.",
        "description": ["Counts *cells*.", "", "More."],
        "date_creation": "2026-03-31",
        "keywords": ["biology"],
        "license": "CC-BY-4.0",
        "cite_url": "https://doi.org/10.5281/zenodo.1",
        "dataset_url": "https://example.org/data",
        "sources": {"code": "https://example.org/code"},
    }


def test_ai4os_has_its_fields_and_only_its_own_words():
    found = ai4os(FULL)
    assert found["metadata_version"] == "2.3.0"
    assert found["libraries"] == ["PyTorch", "Scikit-learn", "Other"]
    assert found["tasks"] == ["Computer Vision", "Other"]
    assert found["data-type"] == ["Time Series"]
    assert found["dates"] == {"created": "2026-03-31", "updated": "2026-04-01"}
    assert found["links"]["source_code"] == "https://example.org/code"
    assert found["links"]["self"] == "https://hub/easymlnb/services/cells/metadata"
    assert found["resources"] == {"inference": {"gpu": 2, "memory_MB": 4096, "gpu_memory_MB": 8192}}
    # The schema forbids what belongs to the form before it.
    assert not found.keys() & {"sources", "dataset_url", "cite_url", "date_creation", "keywords"}


def test_schema_org_says_what_is_known():
    found = schema_org(FULL)
    assert (found["@context"], found["@type"]) == ("https://schema.org", "SoftwareApplication")
    assert found["author"] == {"@type": "Person", "name": "A. Author"}
    assert found["identifier"] == "https://doi.org/10.5281/zenodo.1"
    assert found["memoryRequirements"] == "4 GB"
    assert found["processorRequirements"] == "2 GPU with 8 GB"


def test_missing_fields_are_listed_and_not_invented():
    found = document(BARE)
    assert found["metadata"] == {"name": "x", "title": "X"}
    assert "license" in found["missing"]["deep"] and "sources.code" in found["missing"]["deep"]
    assert found["missing"]["ai4os"] == ["links.source_code"]
    assert "author" not in found["schema_org"]
    assert document(FULL)["missing"]["ai4os"] == []
    assert "thumbnail" not in document(FULL)["metadata"]
