"""Metadata of services: what authors may say, where, and what counts when they say it twice."""

import io
import json
from typing import Annotated

import pytest

import easymlnb as ml
from easymlnb.contract import metadata
from easymlnb.contract.bundle import open_bundle
from easymlnb.contract.errors import BundleRejected, DefinitionError
from easymlnb.contract.spec import ServiceSpec
from easymlnb.publishing.bundle import build_bundle
from easymlnb.services.definition import define
from support.notebooks import make_notebook

CODE = "import easymlnb as ml\n\n@ml.service\ndef met(x: int) -> int:\n    return x\n"


def png(width=900, height=700):
    from PIL import Image

    target = io.BytesIO()
    Image.effect_noise((width, height), 40).save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def publish(tmp_path):
    """Make a bundle of a notebook with these metadata and files; returns what it says."""

    def start(own=None, **files):
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / name.replace("__", ".")).write_bytes(data)
        book = make_notebook(CODE)
        if own is not None:
            book.metadata["easymlnb"] = own
        path = tmp_path / "work.ipynb"
        path.write_text(json.dumps(book))
        return open_bundle(build_bundle(path).data).manifest.metadata

    return start


GOOD = [
    ("title", "Cell counter", "Cell counter"),
    ("tags", ["a", "b", "a"], ["a", "b"]),
    ("keywords", ["a"], ["a"]),
    ("license", "CC BY 4.0", "CC BY 4.0"),
    ("date", "2026-03-31", "2026-03-31"),
    ("doi", "https://doi.org/10.5281/zenodo.12", "10.5281/zenodo.12"),
    ("doi", "doi: 10.5281/zenodo.12", "10.5281/zenodo.12"),
    ("dataset", "https://example.org/data?x=1", "https://example.org/data?x=1"),
    ("description", "Two\nlines", "Two\nlines"),
    ("resources", {"memory": "4 GB", "gpu": 1}, {"memory": 2**32, "gpu": 1}),
    ("resources", {"memory": "1.5GiB"}, {"memory": 3 * 2**29}),
    ("resources", {"gpu_memory": 1000}, {"gpu_memory": 1000}),
]


@pytest.mark.parametrize(("field", "said", "kept"), GOOD)
def test_good_fields_are_kept(field, said, kept):
    found, problems = metadata.read({field: said})
    assert problems == []
    assert list(found.values()) == [kept]
    assert metadata.read(found) == (found, [])


BAD = [
    ("title", "two\nlines"),
    ("title", 5),
    ("author", ""),
    ("tags", "one"),
    ("tags", [1]),
    ("date", "31.3.2026"),
    ("date", 2026),
    ("doi", "12345"),
    ("doi", '10.1234/"><script>'),
    ("dataset", "javascript:alert(1)"),
    ("source", "ftp://example.org"),
    ("documentation", 'https://x/"onclick="'),
    ("resources", "much"),
    ("resources", {"memory": "much"}),
    ("resources", {"memory": -1}),
    ("resources", {"memory": float("nan")}),
    ("resources", {"memory": True}),
    ("resources", {"gpu": True}),
    ("resources", {"wheels": 4}),
    ("thumbnail", "data:image/svg+xml;base64,PHN2Zz4="),
    ("thumbnail", "data:image/png;base64," + "A" * 70_000),
    ("thumbnail", "data:image/png;base64,AAAAA"),
    ("nosuch", 1),
    ("services", ["met"]),
]


@pytest.mark.parametrize(("field", "said"), BAD, ids=str)
def test_bad_fields_are_named(field, said):
    found, problems = metadata.read(
        {field: said, "author": "A"} if field != "author" else {field: said}
    )
    assert [one.field for one in problems] == [field]
    assert problems[0].message.endswith(".")
    assert field not in found


def test_a_field_of_one_service_is_named_with_it():
    _, problems = metadata.read({"services": {"met": {"doi": "x"}, "other": 3}})
    assert [one.field for one in problems] == ["services.met.doi", "services.other"]


def test_the_same_field_in_two_spellings_is_refused():
    _, (problem,) = metadata.read({"tags": ["a"], "keywords": ["b"]})
    assert "Duplicate field" in problem.message


def test_notebook_counts_more_than_yaml_and_the_named_file_more_than_the_general(publish):
    general = "author: general\nlicense: MIT\n"
    named = "author: named\ndate: 2026-01-02\ntags: [x]\n"
    named += "services:\n  met: {title: From YAML, doi: 10.1234/a}\n"
    assert publish(easymlnb__yaml=general) == {"author": "general", "license": "MIT"}
    own = {"author": "notebook", "services": {"met": {"title": "From the notebook"}}}
    assert publish(own, **{"work__easymlnb__yaml": named}) == {
        "author": "notebook",
        "date": "2026-01-02",
        "tags": ["x"],
        "services": {"met": {"title": "From the notebook", "doi": "10.1234/a"}},
    }


def test_a_picture_beside_the_notebook_becomes_a_small_one(publish):
    found = publish({"thumbnail": "cells.png"}, cells__png=png())
    assert found["thumbnail"].startswith("data:image/webp;base64,")
    assert len(found["thumbnail"]) < 64 * 1024


@pytest.mark.parametrize(
    ("own", "files", "said"),
    [
        (
            {"doi": "x", "date": "y"},
            {},
            ["doi: The value must be a DOI", "date: The value must be a date"],
        ),
        (None, {"easymlnb__yaml": "doi: x"}, ["doi: The value must", "(easymlnb.yaml)"]),
        (None, {"easymlnb__yaml": "a: [1"}, ["easymlnb.yaml is not valid YAML at line 1"]),
        (
            None,
            {"easymlnb__yaml": "!!python/object/apply:os.system ['true']"},
            ["is not valid YAML"],
        ),
        (None, {"easymlnb__yaml": "- a\n- b"}, ["must be a mapping of fields to values"]),
        ({"thumbnail": "nosuch.png"}, {}, ["thumbnail: The file"]),
        ({"thumbnail": "work.ipynb"}, {}, ["thumbnail: The value must be an image"]),
    ],
)
def test_publishing_names_what_is_wrong(publish, own, files, said):
    with pytest.raises(BundleRejected) as caught:
        publish(own, **files)
    assert all(part in caught.value.message for part in said), caught.value.message
    assert all(set(one) == {"field", "message"} for one in caught.value.details or ())


def test_metadata_make_another_bundle_but_none_do_not(tmp_path):
    path = tmp_path / "work.ipynb"
    path.write_text(json.dumps(make_notebook(CODE)))
    plain = build_bundle(path).id
    (tmp_path / "easymlnb.yaml").write_text("author: A")
    assert build_bundle(path).id != plain
    (tmp_path / "easymlnb.yaml").write_text("# nothing said\n")
    assert build_bundle(path).id == plain


SPEC = ServiceSpec(name="met_it", title="Met it", input={}, output={})


def test_what_the_decorator_says_counts_most():
    spec = ServiceSpec(
        name="met", title="Mine", author="Me", input={}, output={},
        metadata=metadata.Metadata(doi="10.1/mine"),
    )  # fmt: skip
    said = {
        "title": "Other",
        "author": "Other",
        "license": "MIT",
        "doi": "10.1/x",
        "date": "2026-01-01",
    }
    found = spec.with_notebook_metadata(said)
    assert (found.title, found.author, found.license) == ("Mine", "Me", "MIT")
    assert found.metadata == metadata.Metadata(doi="10.1/mine", date="2026-01-01")


def test_a_title_made_from_the_name_gives_way_and_one_service_wins_over_all():
    said = {"title": "All", "services": {"met_it": {"title": "One"}, "other": {"title": "No"}}}
    assert SPEC.with_notebook_metadata(said).title == "One"
    assert SPEC.with_notebook_metadata({"services": {"other": {"title": "No"}}}) is SPEC


def test_the_decorator_takes_metadata_and_names_what_is_wrong():
    def met(x: int) -> int:
        return x

    found = define(met, metadata={"doi": "10.1234/x", "resources": {"gpu": 1}}).spec.metadata
    assert found == metadata.Metadata(doi="10.1234/x", resources=metadata.Resources(gpu=1))
    with pytest.raises(DefinitionError, match="metadata: doi: The value must be a DOI"):
        define(met, metadata={"doi": "x"})
    with pytest.raises(DefinitionError, match="title: Unknown field"):
        define(met, metadata={"title": "has its own argument"})
    with pytest.raises(DefinitionError, match="must be a mapping of fields to values"):
        define(met, metadata="x")


def test_an_image_example_becomes_the_thumbnail():
    def met(picture: Annotated[object, ml.Image()]) -> int:
        return 1

    spec = define(met, examples=[{"picture": png()}]).spec
    assert spec.metadata is not None
    assert spec.metadata.thumbnail.startswith("data:image/webp;base64,")
    assert metadata.read({"thumbnail": spec.metadata.thumbnail})[1] == []
