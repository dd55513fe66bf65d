"""The drawings of the pages: true numbers, well-formed, nothing of anybody's text as markup."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from easymlnb_server.calls.log import CallRecord
from easymlnb_server.http import charts

NOW = datetime(2026, 3, 31, 12, 0, 30, tzinfo=UTC)


def entry(ago, status=200, seconds=0.1):
    time = (NOW - timedelta(seconds=ago)).isoformat(timespec="milliseconds")
    return CallRecord("request", "1", status, seconds, time=time)


def titles(svg):
    root = ElementTree.fromstring(str(svg))
    return [one.text for one in root.iter("title")]


@pytest.mark.parametrize("span", [1, 600, 86_400, 60 * 86_400])
def test_bars_hold_every_call_of_their_span(span):
    entries = [entry(span * part / 10, 500 if part == 3 else 200) for part in range(10, -1, -1)]
    found = charts.bars(entries, NOW)
    assert len(found) == charts.BARS
    assert found[0].start < found[-1].end and found[-1].start <= NOW < found[-1].end
    assert sum(bar.calls for bar in found) == 11
    assert sum(bar.errors for bar in found) == 1
    assert titles(charts.calls(found))


def test_nothing_is_drawn_of_no_calls():
    assert charts.bars([], NOW) == []
    assert titles(charts.times([])) == []


def test_times_tell_each_call_and_the_median():
    drawn = charts.times([entry(3, seconds=0.1), entry(2, 500, 2.0), entry(1, seconds=0.3)])
    assert [text[:7] for text in titles(drawn)] == ["0.100 s", "2.000 s", "0.300 s"]
    assert "median 300 ms, maximum 2 s" in drawn


def test_only_the_last_calls_are_drawn():
    assert len(titles(charts.times([entry(1)] * 500))) == charts.SHOWN
