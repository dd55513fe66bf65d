"""The code of forms and pages is code that runs."""

import ast
import json
import shlex

import pytest

from easymlnb.contract.names import RESERVED
from easymlnb.contract.snippets import FileName, snippets
from easymlnb.contract.spec import ServiceSpec

FILE = {"name": 'odd "name"; it\'s.tif', "media_type": "image/tiff", "b64": "AAAA"}
PLAIN = {
    "text": 'it\'s "quoted"\n$HOME `x` \\ <b>',
    "number": 0.5,
    "flag": True,
    "none": None,
    "list": [1, "a"],
    "group": {"a": {"b": None}},
}


def spec(**options) -> ServiceSpec:
    return ServiceSpec(**{"name": "roll", "title": "Roll", "input": {}, "output": {}, **options})


def call_of(code: str) -> ast.Call:
    tree = ast.parse(code)
    return next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "result"
    )


def test_python_calls_the_client_with_the_very_values():
    call = call_of(snippets(spec(), PLAIN)["Python"])
    assert {one.arg: ast.literal_eval(one.value) for one in call.keywords} == PLAIN


def test_python_names_files_instead_of_spelling_them_out():
    code = snippets(spec(), {"image": FILE, "more": [FILE]}, "http://host/user/me/")["Python"]
    call = call_of(code)
    assert ast.unparse(call.keywords[0].value) == f"Path({FILE['name']!r})"
    assert "from pathlib import Path" in code
    assert 'ml.connect("http://host/user/me/", token="YOUR_TOKEN")' in code
    assert "AAAA" not in code


def test_python_reads_a_stream_item_by_item():
    code = snippets(spec(stream=True), {"n": 3})["Python"]
    assert "for item in c.roll(n=3):" in code
    ast.parse(code)


def test_exactly_the_public_names_of_the_clients_are_reserved():
    from easymlnb.client import AsyncClient, Client

    names = {
        name for kind in (Client, AsyncClient) for name in (*vars(kind), *kind.__annotations__)
    }
    assert {name for name in names if not name.startswith("_")} == RESERVED


def test_curl_sends_the_very_values():
    words = shlex.split(snippets(spec(), PLAIN, "http://host/")["curl"])
    assert words[0] == "curl"
    assert "http://host/easymlnb/services/roll/call" in words
    assert json.loads(words[words.index("-d") + 1]) == PLAIN


def test_curl_sends_files_as_parts_of_a_form():
    words = shlex.split(
        snippets(spec(), {"image": FILE, "n": [1], "none": None, "t": "@x"})["curl"]
    )
    escaped = FILE["name"].replace('"', '\\"')
    assert f'image=@"{escaped}";type=image/tiff' in words
    plain = [words[at + 1] for at, word in enumerate(words) if word == "--form-string"]
    assert plain == ["n=[1]", "t=@x"]
    assert "-d" not in words


def test_a_file_deep_inside_stands_for_itself_in_json():
    words = shlex.split(snippets(spec(), {"pages": [FILE]})["curl"])
    sent = json.loads(words[words.index("-d") + 1])
    assert sent["pages"][0]["b64"].startswith("<base64 of odd")


def test_a_long_data_uri_is_a_file_too():
    value = "data:image/png;base64," + "A" * 1000
    code = snippets(spec(), {"image": value})
    assert "Path('image.png')" in code["Python"]
    assert "AAAA" not in "".join(code.values())


@pytest.mark.parametrize("values", [PLAIN, {"image": FILE, "n": 1}, {}])
def test_javascript_keeps_to_the_grammar(values, tmp_path):
    code = snippets(spec(), values)["JavaScript"]
    assert code.count("{") == code.count("}") or values is PLAIN
    assert 'await fetch("http://localhost:8888/easymlnb/services/roll/call"' in code
    if "image" in values:
        assert 'form.append("image", fileInput.files[0]' in code
    else:
        body = code.partition("JSON.stringify(")[2].rpartition("),\n});")[0]
        assert json.loads(body) == values


def test_a_long_table_is_a_file_in_code_and_a_short_one_is_not():
    frame = {"x-easymlnb": {"widget": "timeseries"}}
    made = spec(input={"properties": {"load": {"anyOf": [frame, {"type": "null"}]}}})
    long = [{"time": at, "load": 1.0} for at in range(50)]
    assert "c.roll(load=Path('load.csv'))" in snippets(made, {"load": long})["Python"]
    assert 'load=@"load.csv";type=text/csv' in shlex.split(snippets(made, {"load": long})["curl"])
    assert "c.roll(load=[{'a': 1}])" in snippets(made, {"load": [{"a": 1}]})["Python"]
    assert "c.roll(load=None)" in snippets(made, {"load": None})["Python"]


def test_values_of_a_page_may_be_file_names():
    values = {"image": FileName("image.png", "image/png"), "note": "it's $HOME"}
    code = snippets(spec(produces=("text/csv", "image/png")), values, "http://h/")
    assert "image=Path('image.png')" in code["Python"]
    words = shlex.split(code["curl"])
    assert 'image=@"image.png";type=image/png' in words and "note=it's $HOME" in words
    assert "Accept: image/png" in words and "result.png" in words
    assert '"Accept": "image/png"' in code["JavaScript"]
    assert "await response.blob()" in code["JavaScript"]


def test_a_stream_is_read_as_events():
    words = shlex.split(snippets(spec(stream=True, produces=("image/png",)), {})["curl"])
    assert "-N" in words and "Accept: text/event-stream" in words and "-o" not in words


@pytest.mark.parametrize("name", ["admin", "close", "class"])
def test_names_that_python_or_the_client_uses_are_items(name):
    assert f"c[{name!r}](" in snippets(spec(name=name), {})["Python"]
