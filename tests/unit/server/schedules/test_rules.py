"""The times of cron expressions, across changes of the clocks, and what is refused."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.schedules import rules

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def moment(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def ticks(cron: str, zone: str, after: str, count: int) -> list[str]:
    """Return the next ticks, one after the other as a server makes them, in local time."""
    found, now = [], moment(after, zone)
    for _ in range(count):
        now = rules.next_tick(cron, zone, now)
        found.append(datetime.fromtimestamp(now, ZoneInfo(zone)).isoformat())
    return found


def test_days_and_hours() -> None:
    assert ticks("0 6 * * 1-5", BERLIN, "2026-06-05T05:00", 2) == [
        "2026-06-05T06:00:00+02:00",
        "2026-06-08T06:00:00+02:00",
    ]
    assert ticks("*/20 * * * *", "UTC", "2026-01-01T00:50", 2) == [
        "2026-01-01T01:00:00+00:00",
        "2026-01-01T01:20:00+00:00",
    ]
    after = moment("2026-01-01T00:00")
    assert rules.upcoming("0 6 * * *", "UTC", after) == [
        moment(f"2026-01-0{day}T06:00") for day in (1, 2, 3)
    ]
    assert "06:00" in rules.explain("0 6 * * *")


@pytest.mark.parametrize(
    ("zone", "after", "expected"),
    [
        # 2:30 is not there on this day.
        (BERLIN, "2026-03-28T02:30", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
        # 2:30 is there twice.
        (BERLIN, "2026-10-24T02:30", ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
        (NEW_YORK, "2026-03-07T02:30", ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]),
    ],
)
def test_a_daily_time_comes_once_when_the_clocks_change(
    zone: str, after: str, expected: list[str]
) -> None:
    assert ticks("30 2 * * *", zone, after, 2) == expected


def test_every_hour_comes_also_when_the_clocks_change() -> None:
    assert ticks("15 * * * *", BERLIN, "2026-10-25T01:15", 3) == [
        "2026-10-25T02:15:00+02:00",
        "2026-10-25T02:15:00+01:00",
        "2026-10-25T03:15:00+01:00",
    ]
    assert ticks("15 * * * *", BERLIN, "2026-03-29T01:15", 1) == ["2026-03-29T03:15:00+02:00"]


def test_a_tick_is_never_in_the_past() -> None:
    # In the repeated hour, 2:30 of the first one is over.
    for minute in (10, 30, 50):
        now = moment(f"2026-10-25T02:{minute}", BERLIN, fold=1)
        assert rules.next_tick("30 2 * * *", BERLIN, now) == moment("2026-10-26T02:30", BERLIN)


@pytest.mark.parametrize(
    ("cron", "zone", "message"),
    [
        ("0 0 30 2 *", "UTC", "'0 0 30 2 \\*'"),
        ("0 0 31 4,6,9,11 *", "UTC", "day-of-month"),
        ("61 * * * *", "UTC", "bad minute"),
        ("* * * * * *", "UTC", "Write five fields"),
        ("daily", "UTC", "Write five fields"),
        ("", "UTC", "Write five fields"),
        ("0 6 * * *", "Berlin", "no time zone 'Berlin'"),
        ("0 6 * * *", "../etc/passwd", "no time zone"),
        ("0 6 * * *", "", "no time zone"),
        ("0 6 * * *", "a\x00b", "no time zone"),
    ],
)
def test_what_never_comes_is_refused(cron: str, zone: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        rules.next_tick(cron, zone, 0.0)


def test_inputs_are_those_of_the_service() -> None:
    schema = {"type": "object", "properties": {"x": {}, "y": {}}, "required": ["x"]}
    spec = ServiceSpec(name="train", title="", input=schema, output={})
    rules.check_inputs(["x"], spec)
    for names, message in (("xz", "no parameter 'z'. Its parameters: x, y"), ("y", "lacks")):
        with pytest.raises(BadRequest, match=message):
            rules.check_inputs(names, spec)
