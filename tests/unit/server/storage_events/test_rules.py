"""Names of files, when they are complete, and notifications about objects."""

import json
from typing import Any

import pytest

from easymlnb.contract.errors import BadRequest, NotReady, TooLarge
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.storage_events import rules
from easymlnb_server.storage_events.models import parse_sources
from easymlnb_server.storage_events.notifications import objects_of


def spec(**parameters: Any) -> ServiceSpec:
    schema = {"type": "object", "properties": parameters}
    return ServiceSpec(name="f", title="", input=schema, output={})


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.csv", True),
        ("a.tif", False),
        (".a.csv", False),
        ("a.csv.part", False),
        ("a.csv~", False),
        ("a.result.csv", False),
        ("a.csv.error.json", False),
    ],
)
def test_which_files_are_taken(name: str, wanted: bool) -> None:
    assert rules.is_wanted(name, "*.csv*") is wanted or name == "a.tif"
    assert rules.is_wanted("a.tif", "*.csv") is False


def test_a_file_is_complete_when_it_has_not_changed_for_a_while() -> None:
    settling = rules.Settling(1.0)
    assert settling.settled({"a": (1, 1)}, 0.0) == []
    assert settling.settled({"a": (2, 1)}, 1.5) == []
    assert settling.pending
    assert settling.settled({"a": (2, 1), "b": (0, 0)}, 2.5) == ["a"]
    assert settling.settled({"b": (0, 0)}, 3.5) == ["b"]
    assert settling.settled({}, 4.0) == []
    assert not settling.pending


@pytest.mark.parametrize(
    ("media_type", "filename", "expected"),
    [
        ("application/json", "", "a.tif.result.json"),
        ("application/json; charset=utf-8", "x.dat", "a.tif.result.json"),
        ("image/png", "", "a.tif.result.png"),
        ("text/csv", "table.csv", "a.tif.result.csv"),
        ("application/x-odd", "", "a.tif.result.bin"),
        ("image/png", "plot." + 300 * "x", "a.tif.result.png"),
        ("image/png", "plot.\0", "a.tif.result.png"),
        ("image/png", "plot.\ud800", "a.tif.result.png"),
    ],
)
def test_the_name_of_a_result(media_type: str, filename: str, expected: str) -> None:
    assert rules.result_name("a.tif", media_type, filename) == expected
    assert rules.is_ours(expected)


def test_the_parameter_that_gets_a_file() -> None:
    image = {"type": "string", "x-easymlnb": {"accept": ["image/*"]}}
    table = {"type": "string", "x-easymlnb": {"accept": ["text/csv"]}}
    both = spec(n={"type": "integer"}, picture=image, data=table)
    assert rules.file_parameter(both, "", "a.png") == "picture"
    assert rules.file_parameter(both, "", "a.csv") == "data"
    assert rules.file_parameter(both, "", "a.json") == ""
    assert rules.file_parameter(both, "n", "a.png") == "n"
    with pytest.raises(NotReady, match="no parameter 'q'"):
        rules.file_parameter(both, "q", "a.png")
    with pytest.raises(BadRequest, match="takes no files of the type 'image/png'"):
        rules.file_parameter(spec(n={"type": "integer"}), "", "a.png")


def test_a_file_may_be_larger_than_was_said() -> None:
    small = ServiceSpec(name="f", title="", input={}, output={}, max_body=3)
    assert list(rules.limited([b"ab", b"c"], small)) == [b"ab", b"c"]
    with pytest.raises(TooLarge, match="'f' accepts at most 3"):
        list(rules.limited([b"ab", b"cd"], small))


def test_a_form_carries_the_file_and_the_inputs() -> None:
    parts = rules.multipart("image", 'a"b\r\n.png', {"n": 2}, iter([b"\x89PNG"]), "B")
    assert b"".join(parts) == (
        b'--B\r\nContent-Disposition: form-data; name="n"\r\n'
        b"Content-Type: application/json\r\n\r\n2\r\n"
        b'--B\r\nContent-Disposition: form-data; name="image"; filename="a%22b__.png"\r\n'
        b"Content-Type: image/png\r\n\r\n\x89PNG\r\n--B--\r\n"
    )


def record(key: str, name: str = "ObjectCreated:Put", **more: Any) -> dict[str, Any]:
    about = {"key": key, "size": 3, "eTag": "e", "sequencer": "1", **more}
    return {"eventName": name, "s3": {"bucket": {"name": "lab"}, "object": about}}


def test_notifications_name_new_objects() -> None:
    records = [record("in/a+b%2F%C3%A9.csv"), record("x", "ObjectRemoved:Delete")]
    (found,) = objects_of(json.dumps({"Records": records}))["lab"]
    assert (found.key, found.size) == ("in/a b/é.csv", 3)
    (minio,) = objects_of(json.dumps({"Records": [record("a", "s3:ObjectCreated:Put")]}))["lab"]
    assert minio.identity("lab") != found.identity("lab")
    by_sns = json.dumps({"Message": json.dumps({"Records": records})})
    assert objects_of(by_sns)["lab"] == [found]
    assert objects_of('{"Event": "s3:TestEvent"}') == {}
    with pytest.raises(BadRequest, match="not an S3 notification"):
        objects_of('{"Records": [{"s3": 1}]}')


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folder": "/a"}, "service"),
        ({"service": "f"}, "either folder or bucket"),
        ({"service": "f", "folder": "a"}, "absolute"),
        ({"service": "f", "folder": "/a", "results": "/a"}, "another folder"),
        ({"service": "f", "folder": "/a", "sevice": "g"}, "sevice"),
        ({"service": "f", "bucket": "b", "prefix": "in/", "results": "in/"}, "not be a prefix"),
        ({"service": "f", "bucket": "b", "recursive": True}, "recursive is for folders"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_sources({"scans": values}, shared=False)


def test_a_shared_server_needs_users_and_folders_are_not_shared() -> None:
    one = {"service": "ann/f", "folder": "/a"}
    with pytest.raises(ValueError, match="user is missing"):
        parse_sources({"scans": one}, shared=True)
    with pytest.raises(ValueError, match="same folder"):
        parse_sources({"a": one, "b": one}, shared=False)
    with pytest.raises(ValueError, match="same folder '/a'"):
        parse_sources({"a": one, "b": one | {"folder": "/a/"}}, shared=False)
    inner = one | {"folder": "/a/b"}
    assert len(parse_sources({"a": one, "b": inner | {"recursive": True}}, shared=False)) == 2
    with pytest.raises(ValueError, match="'/a/b' is also watched by the recursive source of '/a'"):
        parse_sources({"a": one | {"recursive": True}, "b": inner}, shared=False)
    with pytest.raises(ValueError, match="no name of a source"):
        parse_sources({"a b": one}, shared=False)
