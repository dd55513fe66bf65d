"""A user's own server knows the placements of the Hub's shared service, named in one place."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from easymlnb_server.placement.hub import profiles, shared_profiles
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.placement import HubPlacement
from easymlnb_server.placement.hub.shared_profiles import SharedProfiles
from easymlnb_server.placement.registry import PersonalPlacements
from easymlnb_server.workers.registration import WorkerRegistration
from support.fakes import FakePlacement

ACCOUNT = HubCredentials(user="alice", token="t", api_url="http://hub/api", proxy="http://hub")
GPU = {"name": "gpu", "user": "alice", "profile": {"profile": "gpu", "max_workers": 2}}


class Service:
    """Answers as the shared service does; ``asked`` are the addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: httpx.Response | Exception = httpx.Response(200, json={"placements": [GPU]})
        self.asked: list[str] = []
        monkeypatch.setattr(shared_profiles.httpx, "get", self._get)

    def tells(self, *placements: Any) -> None:
        self.answer = httpx.Response(200, json={"placements": list(placements)})

    def _get(self, url: str, **given: Any) -> httpx.Response:
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(shared_profiles, "MAX_AGE", -1.0)
    return Service(monkeypatch)


def spots(**own: Any) -> SharedProfiles:
    return SharedProfiles(ACCOUNT, "/base/", profiles.parse_profiles(own))


def test_they_are_those_of_the_service_and_ones_own_first(service: Service) -> None:
    service.tells(GPU, {"name": "local", "user": "alice", "profile": {"slots": 8}},
                  {"name": "other", "user": "bob", "profile": {}})  # fmt: skip
    found = spots(gpu={"profile": "mine"}).get()
    assert service.asked == ["http://hub/base/services/easymlnb/placements"]
    assert {name: (spot.profile, spot.slots) for name, spot in found.items()} == {
        "gpu": ("mine", 1), "local": ("", 8),
    }  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"placements": [{"name": "gpu"}]}),
        httpx.Response(200, json=[]),
        httpx.ConnectError("away"),
    ],
)
def test_a_service_that_says_nothing_changes_nothing(service: Service, answer: Any) -> None:
    there = spots()
    assert list(there.get()) == ["gpu"]
    service.answer = answer
    assert list(there.get()) == ["gpu"]
    service.tells()
    assert there.get() == {}


def test_a_service_of_another_version_may_know_more(service: Service) -> None:
    service.tells({**GPU, "profile": {**GPU["profile"], "color": "green"}})  # type: ignore[dict-item]
    assert spots().get()["gpu"].max_workers == 2


def test_a_server_without_a_hub_asks_nobody(service: Service) -> None:
    assert SharedProfiles(HubCredentials(), "/", {}).get() == {}
    assert service.asked == []


def test_a_placement_that_is_named_later_is_there_for_the_next_worker() -> None:
    made: dict[str, Any] = {}
    places = PersonalPlacements(FakePlacement(WorkerRegistration()), lambda: made)
    assert places.for_owner("alice").choose("", 1.0) == "local"
    spot = profiles.parse_profiles({"gpu": {"profile": "gpu"}})["gpu"]
    made["gpu"] = HubPlacement("gpu", spot, ACCOUNT, Path())
    assert places.for_owner("alice").choose("", 1.0) == "gpu"
