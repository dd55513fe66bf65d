"""A service described for other catalogs: their fields, their closed lists, nothing made up."""

import json

import pytest
import rdflib
from jsonschema import Draft202012Validator, FormatChecker

from easymlnb.contract import ai4os as vocabulary
from easymlnb.contract import catalog_files
from easymlnb.contract.metadata import Metadata, Resources
from easymlnb.contract.spec import ServiceSpec
from easymlnb.publishing.gate import spec_check
from easymlnb.publishing.gate.described import Described
from easymlnb_server.services import mldcat_ap
from easymlnb_server.services.described_service import DescribedService
from easymlnb_server.services.metadata_formats import (
    ai4os,
    deep,
    document,
    schema_org,
)
from easymlnb_server.services.metadata_handlers import read_picture

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


# rdflib's own parser uses a class that rdflib deprecates.
RDFLIB = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")

AI4OS_SCHEMA = {
    "type": "object",
    "required": [
        *("metadata_version", "title", "summary", "description", "links"),
        *("libraries", "tasks", "categories", "tags"),
    ],
    "not": {"anyOf": [{"required": [name]} for name in ("sources", "dataset_url", "keywords")]},
    "properties": {
        "metadata_version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        **{name: {"type": "string"} for name in ("title", "summary", "description", "doi")},
        "links": {
            "type": "object",
            "required": ["source_code"],
            "additionalProperties": {"type": "string", "format": "uri"},
        },
        "dates": {
            "type": "object",
            "required": ["created", "updated"],
            "additionalProperties": {"type": "string", "format": "date"},
        },
        **{
            name: {"type": "array", "uniqueItems": True, "items": {"enum": [*known, "Other"]}}
            for name, known in (
                ("libraries", vocabulary.LIBRARIES),
                ("tasks", vocabulary.TASKS),
                ("data-type", ("Image", "Text", "Time Series", "Tabular", "Audio", "Video")),
                ("categories", ("AI4 pre trained", "AI4 trainable", "AI4 inference", "AI4 tools")),
            )
        },
        "tags": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
        "resources": {
            "properties": {"inference": {"additionalProperties": {"type": "integer", "minimum": 0}}}
        },
    },
}
"""What AI4OS's schema v2.3.0 demands of the fields that we write."""


def test_ai4os_files_fit_their_schema():
    check = Draft202012Validator(AI4OS_SCHEMA, format_checker=FormatChecker())
    assert list(check.iter_errors(ai4os(FULL))) == []
    (error,) = check.iter_errors(ai4os(BARE))
    assert "'links' is a required property" in error.message or "source_code" in error.message


def test_what_the_gate_demands_is_what_ai4os_demands():
    for subject in (FULL, BARE):
        found = spec_check.run([Described(subject.spec)])
        missing = document(subject)["missing"]["ai4os"]
        assert any(one.code == "source" for one in found) == ("links.source_code" in missing)


@RDFLIB
def test_mldcat_ap_is_a_graph_of_its_classes():
    graph = rdflib.Graph().parse(data=json.dumps(mldcat_ap.document(FULL)), format="json-ld")
    it6, dct, rdf = (
        rdflib.Namespace("http://data.europa.eu/it6/"), rdflib.DCTERMS, rdflib.RDF
    )  # fmt: skip
    model = rdflib.URIRef(FULL.url)
    assert graph.value(predicate=rdf.type, object=it6.MachineLearningModel) == model
    for name in (dct.title, dct.description, dct.created, it6.version, it6.shortDescription):
        (value,) = graph.objects(model, name)
        assert isinstance(value, rdflib.Literal)
    classes = {
        dct.creator: rdflib.FOAF.Agent,
        dct.license: dct.LicenseDocument,
        dct.type: rdflib.SKOS.Concept,
        it6.trainedOn: rdflib.DCAT.Dataset,
        it6.hasRepository: rdflib.URIRef("https://linkedpaperswithcode.com/class/repository"),
        it6.hasBibliographicReference: rdflib.URIRef(
            "http://purl.org/spar/biro/BibliographicReference"
        ),
    }
    for name, kind in classes.items():
        (value,) = graph.objects(model, name)
        assert (value, rdf.type, kind) in graph, name
    # A bibliographic reference has one citation and one format.
    reference = graph.value(model, it6.hasBibliographicReference)
    assert len(list(graph.objects(reference, dct.bibliographicCitation))) == 1
    assert len(list(graph.objects(reference, dct["format"]))) == 1
    libraries = {str(one) for one in graph.objects(model, it6.hasMachineLearningLibrary)}
    assert "http://w3id.org/ai4os/vocabulary/library/PyTorch" in libraries
    labels = {str(label) for label in graph.objects(predicate=rdflib.SKOS.prefLabel)}
    assert {"OpenCV", "numpy", "Scikit-learn", "Juggling", "Computer Vision"} <= labels
    assert str(graph.value(predicate=rdf.type, object=rdflib.DCAT.DataService)).endswith("/call")


@RDFLIB
def test_a_catalog_has_what_dcat_ap_demands():
    found = mldcat_ap.catalog([FULL, BARE], url="https://hub/", title="Ours", publisher="zoe")
    graph = rdflib.Graph().parse(data=json.dumps(found), format="json-ld")
    head = rdflib.URIRef("https://hub/")
    assert str(graph.value(head, rdflib.DCTERMS.title)) == "Ours"
    assert graph.value(head, rdflib.DCTERMS.description) is not None
    publisher = graph.value(head, rdflib.DCTERMS.publisher)
    assert (publisher, rdflib.RDF.type, rdflib.FOAF.Agent) in graph
    services = set(graph.objects(head, rdflib.DCAT.service))
    assert services == set(graph.subjects(rdflib.RDF.type, rdflib.DCAT.DataService))
    assert mldcat_ap.missing(FULL) == []
    assert mldcat_ap.missing(BARE) == ["dct:created", "it6:trainedOn", "it6:hasRepository"]


def test_our_own_files_can_be_read():
    spec = FULL.spec
    for write in (ai4os, mldcat_ap.document, schema_org, deep):
        fields, problems = catalog_files.read(json.loads(json.dumps(write(FULL))))
        assert (fields["title"], problems) == (spec.title, [])
        assert fields["tags"] == list(spec.tags)
        assert fields["dataset"] == "https://example.org/data"
    fields, _ = catalog_files.read(mldcat_ap.document(FULL))
    assert (fields["license"], fields["author"]) == (spec.license, spec.author)
    assert fields["libraries"] == ["PyTorch", "Scikit-learn", "OpenCV", "numpy"]


@pytest.mark.parametrize(
    ("thumbnail", "picture"),
    [
        ("data:image/png;base64,AAAA", ("image/png", b"\0\0\0")),
        ("data:image/png;base64,AAAAA", None),
        ("data:image/png;base64,%%%%", None),
        ("data:image/png;base64,\u00e4\u00f6", None),
        ("data:image/svg+xml;base64,PHN2Zz4=", None),
        ("data:image/png,AAAA", None),
        ("", None),
    ],
)
def test_only_valid_pictures_are_sent(thumbnail: str, picture: tuple[str, bytes] | None) -> None:
    assert read_picture(thumbnail) == picture
