"""The catalog's list: what fits a query, in which order, page by page."""

import pytest
from msgspec.structs import replace

from easymlnb.contract.errors import ServiceNotFound
from easymlnb_server.services.catalog import CatalogQuery, facets, search
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.services.responses import ServiceSummary
from support.fakes import FakeLink, spec


def line(name, **more):
    found = ServiceSummary(
        name=name,
        full_name=name,
        owner="zoe",
        public=False,
        title=name.capitalize(),
        description="",
        tags=[],
        author="",
        license="",
        url=f"services/{name}",
        state="ready",
        version=1,
        live=False,
        summary="",
        shape="",
        inputs=[],
        libraries=[],
        tasks=[],
        thumbnail=None,
        called=None,
        created=None,
    )
    return replace(found, **more)


LINES = [
    line("beta", tags=["x", "y"], author="Ann", inputs=["image", "number"], created="2026-01-02"),
    line("alpha", tags=["x"], summary="Counts cells", called="2026-02-01", created="2026-01-03"),
    line(
        "gamma",
        author="Bob",
        description="Straße",
        called="2026-02-03",
        inputs=["table"],
        license="CC-BY-4.0",
        tasks=["Time Series"],
        libraries=["PyTorch"],
    ),
]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (CatalogQuery(), ["alpha", "beta", "gamma"]),
        (CatalogQuery(text="CELLS count"), ["alpha"]),
        (CatalogQuery(text="cells nothing"), []),
        (CatalogQuery(text="strasse"), ["gamma"]),
        (CatalogQuery(text="image"), ["beta"]),
        (CatalogQuery(tags=("x",)), ["alpha", "beta"]),
        (CatalogQuery(tags=("x", "y")), ["beta"]),
        (CatalogQuery(author="Bob"), ["gamma"]),
        (CatalogQuery(author="bo"), []),
        (CatalogQuery(input="image"), ["beta"]),
        (CatalogQuery(license="cc-by-4.0"), ["gamma"]),
        (CatalogQuery(task="time series", library="pytorch"), ["gamma"]),
        (CatalogQuery(library="keras"), []),
        (CatalogQuery(text="pytorch cc-by"), ["gamma"]),
        (CatalogQuery(sort="called"), ["gamma", "alpha", "beta"]),
        (CatalogQuery(sort="newest"), ["alpha", "beta", "gamma"]),
    ],
)
def test_what_fits_and_in_which_order(query, names):
    found = search(LINES, query)
    assert [one.name for one in found.entries] == names
    assert (found.total, found.next) == (len(names), None)


def test_pages_follow_one_another_to_the_end():
    names, start = [], 0
    while start is not None:
        found = search(LINES, CatalogQuery(start=start, limit=2))
        assert found.total == 3
        names += [one.name for one in found.entries]
        start = found.next
    assert names == ["alpha", "beta", "gamma"]
    assert search(LINES, CatalogQuery(start=9, limit=2)).entries == []


def test_what_can_be_chosen_is_the_commonest_first():
    assert facets(LINES) == {
        "tags": ["x", "y"],
        "authors": ["Ann", "Bob"],
        "owners": ["zoe"],
        "inputs": ["image", "number", "table"],
        "licenses": ["CC-BY-4.0"],
        "tasks": ["Time Series"],
        "libraries": ["PyTorch"],
    }


async def test_a_spec_is_read_once_as_long_as_it_answers():
    table, link = LiveServices(10), FakeLink()
    published = PublishedServices()
    published.open()
    services = ServiceRegistry(table, published)
    read = []

    def make(spec):
        read.append(spec.name)
        return {"number": len(read)}

    for name in "ab":
        table.offer(link, spec(name))
    assert [services.derived(name, make)["number"] for name in "abab"] == [1, 2, 1, 2]
    table.offer(link, spec("a"))
    assert services.derived("a", make) == {"number": 3}
    table.withdraw(link, "b")
    table.offer(link, spec("c"))
    assert services.derived("c", make) == {"number": 4}
    with pytest.raises(ServiceNotFound):
        services.derived("b", make)
    # What is gone is not kept: it is read again when it comes back.
    table.offer(link, spec("b"))
    assert services.derived("b", make) == {"number": 5}
