"""The rows of models, on both databases."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from easymlnb.contract.errors import (
    AliasChanged,
    AliasNotFound,
    ModelInUse,
    ModelNotFound,
    ModelQuota,
    ModelVersionNotFound,
    NameTaken,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.store import model_rows
from easymlnb_server.store.model_records import MetricPoint, ModelFile, ModelRow, NewVersion
from easymlnb_server.store.models import ModelRows
from easymlnb_server.store.store import Store


def new(key: str, **values: Any) -> NewVersion:
    files = values.pop("files", (ModelFile("model.skops", "a" * 64, 10),))
    given = {"author": "ann", "origin": "saved", "format": "skops", "flavor": {"main": "x"}}
    return NewVersion(key=key, files=files, **(given | values))


def add(models: ModelRows, key: str, name: str = "forest", **values: Any) -> int:
    return models.add_version(name, "ann", new(key, **values))


def test_versions_are_numbered_and_never_reuse_a_number(models: ModelRows) -> None:
    points = (MetricPoint("loss", 1, 0.5, 1.0), MetricPoint("loss", 2, 0.25, 2.0))
    assert add(models, "a", metrics={"mae": 1.5}, params={"trees": 9}, curves=points) == 1
    assert add(models, "b") == 2
    assert add(models, "b") == 2, "the same job or upload, written again"
    one = models.version("forest", "1")
    assert (one.metrics, one.params, one.size) == ({"mae": 1.5}, {"trees": 9}, 10)
    assert tuple(models.metrics("forest", 1)) == points
    models.remove_version("forest", 2)
    assert add(models, "c") == 3
    assert models.get("forest").numbers == (1, 3)
    models.remove("forest")
    with pytest.raises(ModelNotFound):
        models.get("forest")
    assert add(models, "d") == 4
    assert models.get("forest").numbers == (4,)


def test_jobs_add_versions_at_the_same_time(store: Store) -> None:
    def work(number: int) -> int:
        made = new(f"job-{number}", origin="job", job=str(number))
        return store.database.write(
            lambda connection: model_rows.register_version(connection, "net", "ann", made),
            lock=False,
        )

    with ThreadPoolExecutor(4) as pool:
        numbers = sorted(pool.map(work, range(8)))
    assert numbers == list(range(1, 9))
    assert store.models.of_job("3")[0][0] == "net"


def test_an_alias_moves_only_from_the_expected_version(models: ModelRows) -> None:
    add(models, "a"), add(models, "b")
    models.set_alias("forest", "production", 1, "ann", None)
    assert models.version("forest", "production").number == 1
    assert models.version("forest", "latest").number == 2
    with pytest.raises(AliasChanged) as raised:
        models.set_alias("forest", "production", 2, "bob", 2)
    assert raised.value.details == {"version": 1}
    moved = models.set_alias("forest", "production", 2, "bob", 1)
    assert (moved.number, moved.token, moved.changed_by) == (2, 2, "bob")
    with pytest.raises(ModelVersionNotFound):
        models.set_alias("forest", "production", 7, "ann")
    with pytest.raises(AliasChanged):
        models.remove_alias("forest", "production", 1)
    models.remove_alias("forest", "production")
    with pytest.raises(AliasNotFound):
        models.remove_alias("forest", "production")
    with pytest.raises(ModelVersionNotFound, match="Versions: 1, 2"):
        models.version("forest", "production")


def test_what_is_used_is_not_deleted(store: Store) -> None:
    models = store.models
    add(models, "a"), add(models, "b")
    models.set_alias("forest", "production", 1, "ann")
    with pytest.raises(ModelInUse, match="production"):
        models.remove_version("forest", 1)
    bundle = publish(store)
    models.note_use(bundle, "forest", "production")
    models.note_use(bundle, "forest", "production")
    for refused in (
        lambda: models.remove("forest"),
        lambda: models.remove_alias("forest", "production"),
    ):
        with pytest.raises(ModelInUse, match="predict version 1") as raised:
            refused()
        assert raised.value.details["services"] == [["predict", 1, "production"]]
    assert [use.service for use in models.uses("forest")] == ["predict"]
    models.remove_version("forest", 2)
    store.services.delete("predict")
    models.remove("forest")


def publish(store: Store) -> str:
    """Publish a service, and return its bundle."""
    spec = ServiceSpec(name="predict", title="", input={}, output={})
    store.bundles.add("b1", owner="ann", manifest={}, file=store.files.put(b"zip"))
    store.services.publish("b1", [spec], owner="ann")
    return "b1"


def test_files_of_versions_are_kept(store: Store) -> None:
    kept, free = store.files.put(b"weights"), store.files.put(b"other")
    add(store.models, "a", files=(ModelFile("w", kept, 7),))
    assert free not in store.needed_files() and kept in store.needed_files()
    assert store.sweep(older=-1) == 1
    assert store.files.names() == [kept]


def test_names_quota_and_changes(models: ModelRows) -> None:
    began = time.time()
    made = models.create(ModelRow(name="forest", owner="ann", title="Forest"))
    assert made.created == made.changed >= began
    with pytest.raises(NameTaken):
        models.create(ModelRow(name="forest", owner="ann"))
    models.change("forest", {"description": "Trees", "tags": {"a": "b"}})
    found = models.get("forest").model
    assert (found.title, found.description, found.tags) == ("Forest", "Trees", {"a": "b"})
    assert models.get("forest").latest is None
    models.add_version("forest", "ann", new("a"), 15)
    with pytest.raises(ModelQuota, match="15 bytes"):
        models.add_version("forest", "ann", new("b"), 15)
    assert [one.model.name for one in models.all()] == ["forest"]


def test_models_follow_their_owner(store: Store) -> None:
    add(store.models, "a", "ann/forest")
    store.models.set_alias("ann/forest", "production", 1, "ann")
    store.people.transfer("ann", "bob", "id")
    found = store.models.get("bob/forest")
    assert (found.model.owner, found.aliases, found.numbers) == ("bob", {"production": 1}, (1,))
    with pytest.raises(ModelNotFound):
        store.models.get("ann/forest")
    # Another user may take the name; version numbers continue.
    assert add(store.models, "b", "ann/forest") == 2
    store.people.remove("bob")
    with pytest.raises(ModelNotFound):
        store.models.get("bob/forest")
