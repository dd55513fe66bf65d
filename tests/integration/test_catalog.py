"""The catalog over HTTP: lists, pages, metadata and pictures of services, with and without."""

import json
import re

import httpx
import pytest

from support.notebooks import make_notebook

NOTEBOOK = '''
import easymlnb as ml
from PIL import Image

@ml.service(tags=["shelf", "blue"], examples=[{"picture": Image.new("RGB", (900, 300), "navy")}])
def shelf_picture(picture: ml.Image) -> int:
    """Counts **cells**."""
    return picture.width

@ml.service(title="The table", tags=["shelf"], author="Somebody Else",
            metadata={"doi": "10.1234/own"})
def shelf_table(table: ml.Table) -> int:
    return len(table)
'''
SAID = {
    "author": "A. Author",
    "services": {
        "shelf_picture": {"license": "CC-BY-4.0", "dataset": "https://example.org/d"},
        "shelf_table": {"title": "Not this", "doi": "10.1234/not-this", "source": "https://x.org"},
    },
}


@pytest.fixture(scope="module")
def http(session_server):
    book = make_notebook(NOTEBOOK)
    book.metadata["easymlnb"] = SAID
    found = session_server.publish(book, "shelf.ipynb")
    assert found["state"] == "ready", found
    yield session_server.http
    for name in ("shelf_picture", "shelf_table"):
        session_server.http.delete(f"services/{name}")


def names(http, **query):
    answer = http.get("services", params=query)
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["services"]]


def test_the_list_is_filtered_and_sorted(http):
    assert names(http, tag="shelf") == ["shelf_picture", "shelf_table"]
    assert names(http, tag=["shelf", "blue"]) == ["shelf_picture"]
    assert names(http, q="counts CELLS") == ["shelf_picture"]
    assert names(http, author="Somebody Else") == ["shelf_table"]
    assert names(http, input="table", tag="shelf") == ["shelf_table"]
    http.post("services/shelf_table/call", json={"table": [{"a": 1}]}).raise_for_status()
    assert names(http, tag="shelf", sort="called") == ["shelf_table", "shelf_picture"]
    (line,) = http.get("services?q=shelf_table").json()["services"]
    assert line["called"] and line["created"] and line["inputs"] == ["table"]


def test_a_long_list_comes_in_pages(http):
    found, more = [], "services?tag=shelf&limit=1"
    while more:
        page = http.get(more).json()
        assert page["total"] == 2
        found += [one["name"] for one in page["services"]]
        more = page["next"]
    assert found == ["shelf_picture", "shelf_table"]


@pytest.mark.parametrize(
    "query", ["sort=price", "limit=0", "limit=x", "start=-1", "limit=9999999999999"]
)
def test_a_query_that_makes_no_sense_is_refused(http, query):
    answer = http.get(f"services?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(query.partition("=")[0])


def test_what_the_notebook_says_is_kept_with_the_version(http):
    spec = http.get("services/shelf_picture").json()
    assert (spec["author"], spec["license"]) == ("A. Author", "CC-BY-4.0")
    assert spec["metadata"] == {"dataset": "https://example.org/d"}
    spec = http.get("services/shelf_table").json()
    assert (spec["author"], spec["title"]) == ("Somebody Else", "The table")
    assert spec["metadata"] == {"doi": "10.1234/own", "source": "https://x.org"}


def test_metadata_come_in_all_forms_and_in_the_page(http):
    found = http.get("services/shelf_table/metadata").json()
    assert found["metadata"]["doi"] == "10.1234/own"
    assert found["deep"]["title"] == found["ai4os"]["title"] == "The table"
    assert found["missing"]["ai4os"] == []
    page = http.get("services/shelf_table/page").text
    (block,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page)
    assert json.loads(block) == found["schema_org"]
    assert 'href="https://doi.org/10.1234/own"' in page


def test_an_image_example_is_the_picture_of_the_card(http):
    (line,) = http.get("services?q=shelf_picture").json()["services"]
    answer = http.get(line["thumbnail"])
    assert answer.headers["content-type"] == "image/webp"
    assert answer.content[:4] == b"RIFF" and len(answer.content) < 50_000
    assert line["thumbnail"] in http.get("?tag=shelf").text
    assert http.get("services/shelf_table/thumbnail").status_code == 404


def test_the_page_is_searched_without_a_script(http):
    assert "The table" in http.get("?q=table&tag=shelf").text
    page = http.get("?tag=shelf&tag=blue&sort=newest").text
    assert "Shelf picture" in page and "The table" not in page
    assert re.search(r'value="newest" selected', page) and re.search(r'value="blue" checked', page)
    assert "No services match" in http.get("?q=nothing+like+it").text
    assert http.get("?sort=price").status_code == 400


def test_the_whole_first_visit_is_light(http):
    page = http.get("")
    assets = set(re.findall(r'(?:src|href)="/easymlnb/(static/[^"]+)"', page.text))
    assets |= {f"static/{name}" for name in ("times.js", "dom.js", "text.js", "urls.js")}
    size = len(page.content) + sum(len(http.get(asset).content) for asset in assets)
    assert size < 100_000
    # What it shows is in it: nothing is to be asked before the first paint.
    assert "Shelf picture" in page.text


def test_a_manifest_with_bad_metadata_is_refused_with_its_field(http):
    import io
    import zipfile

    from easymlnb.contract.bundle import Manifest, write

    data = write(Manifest(notebook="n.ipynb"), make_notebook("x = 1"), {})
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "manifest.json":
                content = json.dumps(
                    {**json.loads(content), "metadata": {"dataset": "javascript:1"}}
                )
            new.writestr(name, content)
    headers = {"Content-Type": "application/zip"}
    answer = http.post("services", content=target.getvalue(), headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["field"] == "dataset"


def test_metadata_and_pictures_need_a_login(http):
    for path in ("metadata", "thumbnail"):
        url = f"{http.base_url}services/shelf_picture/{path}"
        assert httpx.get(url, timeout=60).status_code == 401


def test_a_live_service_shows_what_is_said_beside_its_notebook(session_server):
    from support.kernels import NotebookKernel

    book, file = (session_server.root / f"shelf_live.{end}" for end in ("ipynb", "easymlnb.yaml"))
    made = make_notebook("x = 1")
    made.metadata["easymlnb"] = {"license": "MIT"}
    book.write_text(json.dumps(made))
    file.write_text("author: Beside\nlicense: Other\n")
    cell = "import easymlnb as ml\n@ml.service\ndef shelf_live(x: int) -> int:\n    return x\n"
    kernel = NotebookKernel(session_server.http, book.name)
    try:
        assert kernel.run(cell).stderr == ""
        spec = session_server.http.get("services/shelf_live").json()
        assert (spec["author"], spec["license"], spec["state"]) == ("Beside", "MIT", "live")
        file.write_text("author: Beside\ndoi: nothing like it\n")
        ran = kernel.run(cell)
        assert ran.error == "" and "doi: The value must be a DOI" in ran.stderr
        assert session_server.call("shelf_live", x=3).json() == 3
    finally:
        kernel.close()
        book.unlink()
        file.unlink()
