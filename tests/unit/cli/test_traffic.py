"""``easymlnb versions|traffic|promote|rollback`` and ``publish --stage`` at a scripted server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from easymlnb.cli import publish, target
from easymlnb.cli.app import app
from support.traffic_server import PROMOTION, TrafficServer, breaking


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> TrafficServer:
    made = TrafficServer()

    @contextmanager
    def client_of(name: str, target: Any) -> Iterator[Any]:
        with made.client() as client:
            yield client

    monkeypatch.setattr(target, "client_of", client_of)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def said(*arguments: str) -> str:
    found = run(*arguments)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_versions_are_listed_with_their_traffic(server: TrafficServer) -> None:
    head, _, third, fourth = said("versions", "f").splitlines()
    assert head.split() == ["VERSION", "PUBLISHED", "TRAFFIC", "ALIASES"]
    assert third.split() == ["3", "2026-01-02", "03:04", "100", "%", "production"]
    assert fourth.split() == ["4", "2026-01-03", "03:04"]
    assert json.loads(said("versions", "f", "--json"))[1]["version"] == 4
    said("versions", "f", "--delete", "2")
    assert ("DELETE", "/easymlnb/services/f/versions/2") in [
        (request.method, request.url.path) for request in server.seen
    ]


def test_traffic_is_shown_and_changed_from_the_state_that_was_read(server: TrafficServer) -> None:
    assert said("traffic", "f").splitlines() == ["f: version 3: 100 %", "  production is version 3"]
    assert server.sent == ("GET", "traffic", None)
    said(
        *("traffic", "f", "3=90", "4=10", "--alias", "candidate=4"),
        *("--sticky", "header:X-Session", "--shadow", "4=0.1", "--force"),
    )
    assert server.sent == (
        "PUT",
        "traffic",
        {
            "weights": {"3": 90, "4": 10},
            "aliases": {"production": 3, "candidate": 4},
            "sticky": "header:X-Session",
            "shadow": {"version": 4, "share": 0.1},
        },
    )
    assert server.seen[-1].headers["If-Match"] == '"7"'
    assert server.seen[-1].url.params["force"] == "true"
    said("traffic", "f", "--sticky", "none", "--shadow", "none")
    assert server.sent[2] == {"sticky": None, "shadow": None}
    assert "force" not in server.seen[-1].url.params
    said("traffic", "f", "--alias", "production=none", "--alias", "best=3")
    assert server.sent[2] == {"aliases": {"best": 3}}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("traffic", "f", "3"), "'3' has no '='"),
        (("traffic", "f", "3=half"), "'half' is not a number"),
        (("traffic", "f", "3=nan"), "'nan' is not a number"),
        (("traffic", "f", "--alias", "candidate"), "'candidate' has no '='"),
        (("traffic", "f", "--shadow", "4"), "'4' has no '='"),
        (("promote", "f", "4", "--steps", "5,x"), "'x' is not a number"),
        (("promote", "f", "4", "--abort-if", "p95_ratio"), "'p95_ratio' has no '='"),
    ],
)
def test_wrong_values_are_named_and_change_nothing(
    server: TrafficServer, arguments: tuple[str, ...], problem: str
) -> None:
    found = run(*arguments)
    assert found.exit_code == 2
    assert problem in found.stderr
    assert all(request.method == "GET" for request in server.seen)


def test_a_breaking_version_is_refused_in_one_line(server: TrafficServer) -> None:
    server.refusal = breaking()
    found = run("traffic", "f", "4=100")
    assert (found.exit_code, found.stdout) == (1, "")
    assert "parameter 'x' was removed" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_promotion_is_started_followed_and_ended(server: TrafficServer) -> None:
    started = said("promote", "f", "candidate", "--steps", "5,100", "--every", "1m")
    assert started == "f: promotion of version 4 is running at 5 %.\n"
    body = {"version": "candidate", "steps": [5, 100], "every": "1m"}
    assert server.sent == ("POST", "promotions", body)
    said("promote", "f", "4", "--abort-if", "p95_ratio=3", "--abort-if", "min_calls=20")
    assert str(server.sent[2]["abort_if"]) == "{'p95_ratio': 3, 'min_calls': 20}"
    for option, sent in (
        ("--pause", ("POST", "promotions/p1/pause", {})),
        ("--resume", ("POST", "promotions/p1/resume", {})),
        ("--cancel", ("DELETE", "promotions/p1", None)),
    ):
        said("promote", "f", option)
        assert server.sent == sent
    reason = "9 of its 20 calls failed (45.0%)."
    server.promotions = [{**PROMOTION, "state": "aborted", "reason": reason}]
    assert said("promote", "f") == f"f: promotion of version 4 is aborted at 5 %. {reason}\n"
    assert json.loads(said("promote", "f", "--json"))["reason"] == reason
    server.promotions = []
    found = run("promote", "f")
    assert found.exit_code != 0
    assert "f has no promotion" in found.stderr


def test_a_rollback_says_where_the_calls_go(server: TrafficServer) -> None:
    assert said("rollback", "f").startswith("f: version 2: 100 %\n")
    assert server.sent == ("POST", "rollback", {})


@pytest.mark.parametrize("option", ["stage", "force"])
def test_publish_passes_its_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str
) -> None:
    given: list[publish.PublishOptions] = []

    def keep(path: Path, options: publish.PublishOptions, target: Any) -> None:
        given.append(options)

    monkeypatch.setattr(publish, "publish_and_show", keep)
    path = tmp_path / "n.ipynb"
    path.write_text("{}")
    said("publish", str(path), f"--{option}")
    said("publish", str(path))
    assert [getattr(options, option) for options in given] == [True, False]
