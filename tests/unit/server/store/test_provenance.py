"""What versions were made from, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from easymlnb.contract.errors import VersionNotFound
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.store import Store
from easymlnb_server.store.provenance import ACCEPTED, PUBLISHER


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    made = Store.open(database_url, tmp_path)
    yield made
    made.close()


def publish(store: Store, bundle: str, name: str, text: bytes, publisher: str = "bob") -> None:
    manifest = {"notebook": f"{bundle}.ipynb", PUBLISHER: publisher, ACCEPTED: 5.0}
    store.bundles.add(bundle, owner="alice", manifest=manifest, file=store.files.put(text))
    spec = ServiceSpec(name=name, title=name.title(), input={"type": "object"}, output={})
    log = store.files.put(b"log of " + text)
    store.services.publish(bundle, [spec], owner="alice", log=log)


def test_each_version_keeps_what_it_was_made_from(store: Store) -> None:
    publish(store, "b1", "alice/roll", b"first")
    publish(store, "b2", "alice/roll", b"second")
    publish(store, "b1", "alice/roll", b"first, packed again", "carol")
    records = [store.provenance.get("alice/roll", number) for number in (1, 2, 3)]
    assert [(one.bundle, one.publisher) for one in records] == [
        ("b1", "bob"),
        ("b2", "bob"),
        ("b1", "carol"),
    ]
    assert [store.files.get(one.file) for one in records] == [
        b"first",
        b"second",
        b"first, packed again",
    ]
    assert store.files.get(records[0].log or "") == b"log of first"
    assert (records[0].accepted, records[0].manifest["notebook"]) == (5.0, "b1.ipynb")
    assert store.sweep(older=-1) == 0
    assert store.files.get(records[0].file) == b"first"


def test_records_follow_their_versions(store: Store) -> None:
    publish(store, "b1", "alice/roll", b"first")
    store.people.bind("alice", "1")
    store.people.transfer("alice", "dave", "2")
    assert store.provenance.get("dave/roll", 1).publisher == "bob"
    with pytest.raises(VersionNotFound):
        store.provenance.get("alice/roll", 1)
    store.services.delete("dave/roll")
    with pytest.raises(VersionNotFound):
        store.provenance.get("dave/roll", 1)
    assert store.sweep(older=-1) == 2
