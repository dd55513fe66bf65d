"""The pages as a server sends them: whole, private, and harmless whatever authors write."""

import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import httpx
import pytest

from support.notebooks import make_notebook

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"
NOTEBOOK = f"""
import easymlnb as ml

@ml.service(title={EVIL!r}, author={EVIL!r}, tags=[{EVIL!r}, "it's"], license={EVIL!r},
            description="**bold** [bad](javascript:alert) ![pic](http://x/y.png)\\n\\n" + {EVIL!r},
            examples=[{{"text": {EVIL!r}}}],
            metadata=dict(summary={EVIL!r}, citation={EVIL!r}, libraries=[{EVIL!r}]))
def page_evil(text: str = {EVIL!r}) -> str:
    print(text)
    return text

@ml.service
def page_nap(fail: bool = False) -> int:
    import time
    if fail:
        raise ValueError("no")
    for _ in range(3000):
        time.sleep(0.02)
    return 1
"""
PAGES = ["", "services/page_evil/page", "docs"]
ASSETS = [
    "easymlnb.css",
    "early.js",
    "theme.js",
    "page.js",
    "times.js",
    "catalog.js",
    "wait.js",
    "docs.js",
    "try.js",
    "schema.js",
    "dom.js",
    "text.js",
    "urls.js",
    "mark.svg",
]


class Tags(HTMLParser):
    """Collects the tags of a page with their attributes, as a browser would see them."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tags(text):
    parser = Tags()
    parser.feed(text)
    return parser.found


@pytest.fixture(scope="module")
def http(session_server):
    found = session_server.publish(make_notebook(NOTEBOOK), "pages.ipynb")
    assert found["state"] == "ready", found
    yield session_server.http
    for name in ("page_evil", "page_nap"):
        session_server.http.delete(f"services/{name}")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_inline_script_or_style(http, path):
    answer = http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", answer.text, re.S)
    data = 'type="application/ld+json"'  # never run by a browser
    run = [(attributes, body) for attributes, body in scripts if attributes.strip() != data]
    assert all("src=" in attributes and not body.strip() for attributes, body in run)
    names = {name for _, attributes in tags(answer.text) for name in attributes}
    assert not {name for name in names if name == "style" or name.startswith("on")}
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


@pytest.mark.parametrize("path", PAGES)
def test_nothing_comes_from_elsewhere(http, path):
    for tag, attributes in tags(http.get(path).text):
        address = attributes.get("href" if tag == "link" else "src")
        assert address is None or address.startswith("/easymlnb/")


def test_what_authors_write_is_text(http):
    http.post("services/page_evil/call", json={})
    for path in PAGES:
        found = tags(http.get(path).text)
        assert all(attributes.get("src") != "x" for _, attributes in found)
        assert not any("javascript" in (attributes.get("href") or "") for _, attributes in found)
        assert ("script", {}) not in found
    page = http.get("services/page_evil/page").text
    assert "<strong>bold</strong>" in page and "&lt;script&gt;" in page


def test_the_catalog_without_trailing_slash_is_the_catalog(http):
    url = str(http.base_url).rstrip("/")
    assert "<h1>Services</h1>" in httpx.get(url, headers=dict(http.headers), timeout=60).text


@pytest.mark.parametrize("path", PAGES)
def test_without_login_a_page_leads_to_it(http, path):
    answer = httpx.get(f"{http.base_url}{path}", timeout=60)
    assert answer.status_code == 302
    assert "/login?next=%2Feasymlnb%2F" in answer.headers["location"]


@pytest.mark.parametrize("path", ["openapi.json", "services/page_evil/openapi.json"])
def test_documents_need_a_login(http, path):
    assert httpx.get(f"{http.base_url}{path}", timeout=60).status_code == 401


def test_a_page_that_is_not_there_says_what_to_do(http):
    answer = http.get("services/nosuch/page")
    assert answer.status_code == 404
    assert "There is no service named" in answer.text
    assert answer.headers["x-request-id"] in answer.text


@pytest.mark.parametrize("name", ASSETS)
def test_assets_are_kept_by_browsers_under_their_content(http, name):
    page = http.get("docs").text + http.get("").text
    found = re.search(rf"static/({re.escape(name)}\?v=\w+)", page)
    answer = http.get(f"static/{found[1] if found else name}")
    assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
    assert ("max-age" in answer.headers["cache-control"]) == bool(found)


@pytest.mark.parametrize("name", ["../pages.py", "..%2Fapp.py", "nosuch.js", "base.html"])
def test_no_other_file_is_an_asset(http, name):
    assert http.get(f"static/{name}").status_code == 404


def test_the_openapi_document_of_the_server_is_valid(http):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    found = http.get("openapi.json").json()
    OpenAPIV31SpecValidator(found).validate()
    assert found["servers"] == [{"url": "/easymlnb"}]
    assert "/services/page_evil/call" in found["paths"]
    one = http.get("services/page_evil/openapi.json").json()
    OpenAPIV31SpecValidator(one).validate()


# What pages and nodes say to the server behind the scenes is not for callers.
INSIDE = re.compile(r"static/|app-assets/|node\b|(?:apps|public)/\([^)]*\)/")


def test_every_route_is_described():
    from easymlnb_server.http.routes import OPERATIONS, ROUTES

    described = {re.sub(r"{\w+}", "{}", route.split()[1]) for route in OPERATIONS}
    described |= {path.removesuffix("/") for path in described}
    for pattern, *_ in ROUTES:
        if pattern == r".*" or INSIDE.match(pattern):
            continue
        path = "/" + re.sub(r"\((?:[^()]|\([^()]*\))*\)", "{}", pattern).replace(
            "\\", ""
        ).removesuffix("/?")
        assert path in described, pattern


RESTLESS = """
import os
import easymlnb as ml

@ml.service(min_workers=0, idle=0.5)
def page_sleeps() -> int:
    return 1
"""
FRAIL = """
import os
import easymlnb as ml

@ml.service
def page_dies() -> int:
    os._exit(1)
"""


def test_the_page_says_that_a_service_sleeps(session_server):
    assert session_server.publish(make_notebook(RESTLESS), "sleeps.ipynb")["state"] == "ready"
    session_server.wait_for(
        lambda: session_server.state("page_sleeps") == "asleep", "it does not fall asleep"
    )
    page = session_server.http.get("services/page_sleeps/page").text
    assert "<h2>Asleep</h2>" in page
    # Other tests publish to this server, too, and a page of the catalog is limited.
    assert "asleep" in session_server.http.get("", params={"q": "page_sleeps"}).text
    session_server.http.delete("services/page_sleeps")


def test_the_page_says_that_workers_do_not_stay(session_server):
    assert session_server.publish(make_notebook(FRAIL), "dies.ipynb")["state"] == "ready"

    def failed():
        session_server.call("page_dies")
        return session_server.state("page_dies") == "failed"

    session_server.wait_for(failed, "it does not fail", 90)
    page = session_server.http.get("services/page_dies/page").text
    assert "This version failed to start" in page and "in a row" in page
    session_server.http.delete("services/page_dies")


def test_calls_that_their_callers_stopped_or_left_are_no_errors(http, session_server):
    def stats():
        return http.get("services/page_nap").json()["stats"]

    def running():
        return stats()["running"] == 1

    call = {"url": "services/page_nap/call", "json": {}}
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(http.post, **call, headers={"X-Request-Id": "stopped-nap"})
        session_server.wait_for(running, "the call does not run")
        assert http.delete("calls/stopped-nap").status_code == 204
        assert sent.result(60).json()["error"]["code"] == "cancelled"
    with pytest.raises(httpx.ReadTimeout):
        http.post(**call, timeout=httpx.Timeout(30, read=1))
    session_server.wait_for(lambda: stats()["stopped"] == 2, "the caller that left is not noticed")
    assert http.post(**{**call, "json": {"fail": True}}).status_code == 500

    found = stats()
    assert (found["calls"], found["stopped"], found["errors"]) == (3, 2, 1)
    entries = http.get("services/page_nap/log").json()["entries"]
    assert [entry["outcome"] for entry in entries] == ["stopped", "stopped", "error"]
    page = http.get("services/page_nap/page").text
    log = page[page.index('<table class="log">') :]
    assert log.count("</span> stopped</span>") == 2
    assert log.count('class="dot bad"') == 1
    circles = [attributes["class"] for tag, attributes in tags(page) if tag == "circle"]
    # The chart of versions has circles, too, once two minutes are complete.
    assert sorted(c for c in circles if "series" not in c) == ["bad", "stopped", "stopped"]
