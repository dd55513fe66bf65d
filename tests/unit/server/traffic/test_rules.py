"""Changes of traffic, good and bad."""

import json
from typing import Any

import pytest

from easymlnb.contract.errors import BadRequest, VersionNotFound
from easymlnb_server.traffic import rules
from easymlnb_server.traffic.models import Shadow, Traffic

VERSIONS = {1, 2, 3, 4}
BEFORE = Traffic(weights={3: 100.0}, aliases={"production": 3}, history=(1, 2, 3))


def changed(before: Traffic = BEFORE, **body: Any) -> Traffic:
    return rules.apply(rules.parse_change(json.dumps(body).encode()), before, VERSIONS)


def test_weights_aliases_and_shadow_are_set_and_the_rest_stays() -> None:
    after = changed(weights={"production": 90, "4": 10, "2": 0})
    assert (after.weights, after.aliases) == ({3: 90.0, 4: 10.0}, {"production": 3})
    assert after.history == (1, 2, 3)
    after = changed(after, aliases={"candidate": 4, "next": "candidate"}, sticky="header:X-Session")
    assert after.aliases == {"candidate": 4, "next": 4}
    assert (after.weights, after.sticky) == ({3: 90.0, 4: 10.0}, "header:x-session")
    after = changed(after, shadow={"version": "candidate", "share": 0.1})
    assert after.shadow == Shadow(4, 0.1)
    assert changed(after, shadow=None, sticky=None).shadow is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"weights": {"3": -1, "4": 101}}, "from 0 to 100"),
        ({"weights": {"3": 100.0001}}, "is 100.0001"),
        ({"weights": {"3": 50}}, "add up to 50"),
        ({"weights": {}}, "add up to 0"),
        ({"weights": {"3": 50, "production": 50}}, "two weights"),
        ({"weights": {"3": "all"}}, "Expected `float`"),
        ({"weights": None}, "Expected `object`"),
        ({"shares": {"3": 100}}, "unknown field"),
        ({"aliases": {"a": "b", "b": "a"}}, "a -> b -> a"),
        ({"aliases": {"live": 3}}, "Invalid alias 'live'"),
        ({"aliases": {"7": 3}}, "Invalid alias '7'"),
        ({"sticky": "cookie"}, "Invalid sticky 'cookie'"),
        ({"sticky": "header:"}, "Invalid sticky"),
        ({"shadow": {"version": 4, "share": 1.5}}, "0 to 1"),
        ({"shadow": {"version": 4}}, "missing required field"),
    ],
)
def test_bad_changes_are_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        changed(**body)


@pytest.mark.parametrize("body", [b'{"weights": {"3": NaN}}', b"", b"\xff", b'{"weights": 3, }'])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="Send the traffic as JSON"):
        rules.parse_change(body)


def test_a_key_that_comes_twice_is_refused() -> None:
    with pytest.raises(BadRequest, match="Duplicate key '3'"):
        rules.parse_change(b'{"weights": {"3": 50, "3": 100}}')


@pytest.mark.parametrize(
    "body",
    [
        {"weights": {"9": 100}},
        {"weights": {"nobody": 100}},
        {"weights": {"03": 100}},
        {"aliases": {"a": 9}},
        {"aliases": {"a": "nobody"}},
        {"aliases": {"a": -3}},
        {"shadow": {"version": 9, "share": 0.1}},
    ],
)
def test_unknown_versions_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(VersionNotFound):
        changed(**body)


def test_rollback_ends_a_division_else_goes_to_the_version_before() -> None:
    assert rules.rollback_target(BEFORE, VERSIONS) == 2
    canary = changed(weights={"3": 25, "4": 75})
    assert rules.rollback_target(canary, VERSIONS) == 3
    done = changed(canary, weights={"4": 100})
    assert (done.history, rules.rollback_target(done, VERSIONS)) == ((1, 2, 3, 4), 3)
    back = rules.switched(done, 3)
    assert rules.rollback_target(back, VERSIONS) == 4
    assert rules.rollback_target(Traffic.undivided(1), {1}) is None
    assert rules.rollback_target(BEFORE, {1, 3}) == 1


def test_a_version_is_found_by_number_or_alias() -> None:
    assert rules.find_version("4", {}, VERSIONS) == 4
    assert rules.find_version("candidate", {"candidate": 4}, VERSIONS) == 4
    for asked in ("5", "0", "-1", "1e0", "candidate", "", "²"):
        with pytest.raises(VersionNotFound):
            rules.find_version(asked, {"old": 9}, VERSIONS)


def test_what_refers_to_a_version_is_named() -> None:
    traffic = changed(shadow={"version": 4, "share": 0.5})
    assert traffic.users_of(3) == ["its traffic", "the alias 'production'"]
    assert traffic.users_of(4) == ["shadow calls"]
    assert traffic.users_of(1) == []
    assert traffic.needed == {3, 4}
