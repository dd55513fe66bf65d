"""What callers see of a bundle while its services begin to answer."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.store.records import BundleState, StoredBundle
from easymlnb_server.store.store import Store


def stored(state: BundleState) -> StoredBundle:
    return StoredBundle(
        id="b", owner="alice", names=(), provides=("f",), manifest={}, file="f", state=state,
        error=None, log=None, created=0.0, changed=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("state", list(BundleState))
async def test_a_bundle_is_ready_once_its_services_answer(state: BundleState) -> None:
    publisher = Publisher(PublishedServices(), lambda *args: cast(Any, None))
    bundles = SimpleNamespace(get=lambda id: stored(state))
    publisher._store = cast(Store, SimpleNamespace(bundles=bundles))
    assert (await publisher.bundle("b")).state is state
    # Its versions are stored, but calls do not reach them yet.
    publisher.deployments.starting["b"] = cast(Any, None)
    expected = BundleState.STARTING if state is BundleState.READY else state
    assert (await publisher.bundle("b")).state is expected
