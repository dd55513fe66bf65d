"""``f.traffic``, ``f.promote``, ``f.rollback`` and ``f.stage`` at a scripted server."""

from typing import Any

import pytest

import easymlnb as ml
from easymlnb.client import hub
from easymlnb.contract.errors import BreakingVersion, DefinitionError
from easymlnb.publishing import publish as publishing
from easymlnb.publishing import traffic as module
from easymlnb.publishing.bundle_upload import describe_traffic
from support.traffic_server import SERVER, TrafficServer, breaking


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> TrafficServer:
    made = TrafficServer()
    monkeypatch.setattr(hub, "publish_target", lambda *given, **options: SERVER)
    monkeypatch.setattr(module, "Client", lambda server: made.client())
    return made


@ml.service
def f(x: int = 0) -> int:
    return x


def test_traffic_is_read_and_changed(server: TrafficServer) -> None:
    found = f.traffic()
    assert (found.weights, found.aliases, found.etag) == ({3: 100}, {"production": 3}, '"7"')
    changed = f.traffic(weights={3: 90, 4: 10}, sticky="caller", if_match=found.etag)
    assert changed.weights == {3: 90, 4: 10}
    assert server.sent == ("PUT", "traffic", {"weights": {"3": 90, "4": 10}, "sticky": "caller"})
    assert server.seen[-1].headers["If-Match"] == '"7"'
    with pytest.raises(DefinitionError, match="Did you mean 'weights'"):
        f.traffic(weight={3: 100})


def test_a_version_is_promoted_and_rolled_back(server: TrafficServer) -> None:
    found = f.promote("candidate", steps=[5, 100], every="1m", abort_if={"min_calls": 9})
    assert (found.version, found.base, found.state, found.steps) == (4, 3, "running", (5, 100))
    body = {"version": "candidate", "steps": [5, 100], "every": "1m"}
    assert server.sent == ("POST", "promotions", body | {"abort_if": {"min_calls": 9}})
    assert f.rollback().weights == {2: 100}


def test_a_breaking_version_is_a_typed_error(server: TrafficServer) -> None:
    server.refusal = breaking()
    with pytest.raises(BreakingVersion, match="parameter 'x' was removed"):
        f.traffic(weights={4: 100})
    with pytest.raises(BreakingVersion):
        f.promote(4)


def test_a_staged_version_is_published_without_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        publishing, "publish", lambda name, **options: given.append((name, options))
    )
    f.stage(replace="wait")
    assert given == [("f", {"replace": "wait", "stage": True})]


@pytest.mark.parametrize(
    ("service", "unchanged", "said"),
    [
        ({"weight": 100}, False, ""),
        ({"weight": 0}, False, "gets no traffic yet. To move the calls to it, run: "
         "easymlnb promote f 4"),
        ({"weight": 0, "breaks": ["a", "b"]}, False, "(a; b). To replace that anyway, run: "
         "easymlnb traffic f 4=100 --force"),
        ({"weight": 100, "breaks": ["a"]}, False, "(a). To go back, run: easymlnb rollback f"),
        ({"weight": 100, "breaks": ["a"]}, True, ""),
    ],
)  # fmt: skip
def test_an_author_is_shown_the_command(
    service: dict[str, Any], unchanged: bool, said: str
) -> None:
    text = describe_traffic({"name": "f", "version": 4, **service}, unchanged=unchanged)
    assert text.endswith(said)
    assert bool(text) == bool(said)
