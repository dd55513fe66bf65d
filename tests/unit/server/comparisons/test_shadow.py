"""Answers of a version and its shadow are compared by the rules of comparisons."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from easymlnb_server.comparisons import shadow as module
from easymlnb_server.comparisons.shadow import ShadowComparisons, compare_outcome
from easymlnb_server.traffic.shadow import ShadowOutcome
from support.fakes import until

JSON = "application/json"
OUTCOME = ShadowOutcome(
    service="f", request_id="r", body=b"{}", content_type=JSON, version="3", answer=b"1.0",
    media_type=JSON, error="", seconds=0.1, shadow_version="4", shadow_answer=b"1.0",
    shadow_media_type=JSON, shadow_error="", shadow_seconds=0.2,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, "equal"),
        ({"shadow_answer": b"1.0000000001"}, "within"),
        ({"shadow_answer": b"2"}, "different"),
        ({"shadow_answer": b"{"}, "different"),
        ({"shadow_error": "call_failed"}, "failed"),
        ({"error": "invalid_input", "shadow_error": "invalid_input"}, "equal"),
        ({"media_type": "image/png", "shadow_media_type": "image/png"}, "equal"),
        ({"media_type": "a/b", "shadow_media_type": "a/b", "shadow_answer": b"x"}, "different"),
    ],
)
def test_outcomes(changes: dict[str, Any], found: str) -> None:
    assert compare_outcome(replace(OUTCOME, **changes))[0] == found


async def test_outcomes_are_counted_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    shadows = ShadowComparisons()
    for number in range(5):
        shadows.add(replace(OUTCOME, shadow_answer=str(number).encode()))
    running = asyncio.create_task(shadows.run())
    await until(lambda: sum(shadows.of("f")[0].outcomes.values()) == 3)
    running.cancel()
    (found,) = shadows.of("f")
    assert (found.version, found.shadow, found.dropped) == ("3", "4", 2)
    assert found.outcomes == {"equal": 1, "different": 2}
    assert (found.p50, found.shadow_p50) == (0.1, 0.2)
    assert [one.differences[0].after for one in found.recent] == [0, 2]
    assert shadows.of("g") == []
