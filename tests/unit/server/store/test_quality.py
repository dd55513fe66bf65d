"""Reports of the quality gate, on SQLite and on PostgreSQL."""

from easymlnb_server.store import Store


def test_a_report_replaces_the_one_before_and_goes_with_its_bundle(store: Store) -> None:
    for name in "ab":
        store.bundles.add(name, owner="ann", manifest={}, file="f" * 64)
    assert (store.quality.summaries(), store.quality.get("a")) == ({}, None)
    store.quality.put("a", {"passed": False}, {"passed": False, "findings": [1]})
    store.quality.put("a", {"passed": True}, {"passed": True, "findings": []})
    assert store.quality.get("a") == {"passed": True, "findings": []}
    store.quality.put("gone", {"passed": True}, {})
    store.quality.put("b", {"passed": True}, {})
    assert store.quality.summaries() == {"a": {"passed": True}, "b": {"passed": True}}
