"""Bundles that a server publishes at its start: when it is ready, and what fails."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from easymlnb.contract.errors import BundleRejected, StorageUnusable
from easymlnb_server.credentials.mounted import read_mounted
from easymlnb_server.placement.registry import LocalPlacements
from easymlnb_server.publishing.preloading import PreloadedBundles, bundle_files
from easymlnb_server.store.records import BundleState


class FakePublisher:
    """Publishes at once; a bundle whose content is ``bad`` fails."""

    def __init__(self) -> None:
        self.deployment = SimpleNamespace(state="starting")
        version = SimpleNamespace(deployment=self.deployment)
        self.published = SimpleNamespace(versions=lambda: [version])
        self.bundles: dict[str, Any] = {}

    async def publish(self, data: bytes, names: tuple[str, ...], owner: str) -> Any:
        if data == b"broken":
            raise BundleRejected("The zip is not a bundle.")
        error = {"message": "Cell 1 failed.", "traceback": "ZeroDivisionError"}
        state = BundleState.FAILED if data == b"bad" else BundleState.READY
        self.bundles[data.decode()] = SimpleNamespace(
            id=data.decode(), state=state, error=error if data == b"bad" else None
        )
        return self.bundles[data.decode()]

    async def wait_started(self, id: str) -> None:
        """Return at once."""

    async def bundle(self, id: str) -> Any:
        return self.bundles[id]

    async def provided(self, id: str) -> list[Any]:
        return [SimpleNamespace(service=id)]


async def preloaded(folder: Path, *contents: str) -> tuple[PreloadedBundles, FakePublisher, int]:
    for number, content in enumerate(contents):
        (folder / f"{number}.zip").write_text(content)
    publisher = FakePublisher()
    made = PreloadedBundles(publisher, [str(folder)], "owner")  # type: ignore[arg-type]
    failures: list[None] = []
    assert not made.ready
    await made.run(lambda: failures.append(None))
    return made, publisher, len(failures)


async def test_it_is_ready_while_all_services_can_answer(tmp_path: Path) -> None:
    made, publisher, failures = await preloaded(tmp_path, "one", "two")
    assert failures == 0 and made.failure == "" and {*publisher.bundles} == {"one", "two"}
    for state, ready in (("starting", False), ("ready", True), ("failed", False), ("asleep", True)):
        publisher.deployment.state = state
        assert made.ready is ready


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bad", "does not start. Cell 1 failed.\nZeroDivisionError"),
        ("broken", "1.zip cannot be served. The zip is not a bundle."),
    ],
)
async def test_a_bundle_that_fails_ends_the_server(
    tmp_path: Path, content: str, message: str
) -> None:
    made, _, failures = await preloaded(tmp_path, "one", content)
    assert failures == 1 and message in made.failure and not made.ready


async def test_other_servers_have_none(tmp_path: Path) -> None:
    assert PreloadedBundles(FakePublisher(), [], "owner").ready  # type: ignore[arg-type]
    with pytest.raises(BundleRejected, match="has no bundle"):
        bundle_files([tmp_path])
    assert bundle_files([tmp_path / "x.zip"]) == [tmp_path / "x.zip"]
    made = PreloadedBundles(FakePublisher(), [str(tmp_path / "x.zip")], "o")  # type: ignore[arg-type]
    await made.run(lambda: None)
    assert "Cannot read the bundle" in made.failure


def test_credentials_are_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "DB").write_text("pass word\n")
    (tmp_path / "..data").mkdir()
    (tmp_path / "not a name").write_text("x")
    assert read_mounted(str(tmp_path)) == {"DB": "pass word"}
    assert read_mounted("") == {}
    (tmp_path / "EMPTY").write_text("\n")
    with pytest.raises(StorageUnusable, match="value of the credential is empty"):
        read_mounted(str(tmp_path))
    with pytest.raises(StorageUnusable, match="No such file"):
        read_mounted(str(tmp_path / "nosuch"))


def test_every_placement_is_this_machine() -> None:
    local: Any = SimpleNamespace(orphaned_workers=lambda: ["worker"], offers=lambda gpu: False)
    placements = LocalPlacements(local)
    found = placements.for_owner("alice")
    assert found.choose("gpus-of-a-hub", 1.0) == "local"
    assert found.get("gpus-of-a-hub") is local
    assert placements.orphaned_workers() == ["worker"]
