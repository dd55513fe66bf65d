"""Charts of the versions of a service."""

from xml.etree import ElementTree

from easymlnb_server.http.version_charts import ERRORS, LATENCY, over_time, traffic_bar
from easymlnb_server.observability.version_history import Point, VersionHistory


def test_the_bar_says_what_it_shows() -> None:
    drawn = ElementTree.fromstring(traffic_bar({"3": 90.0, "4": 10.0}))
    assert drawn.get("aria-label") == "Traffic: version 3 90 %, version 4 10 %"
    widths = [float(part.get("width", "")) for part in drawn.iter("rect")]
    assert widths == [466, 50]
    titles = [part.text for part in drawn.iter("title")]
    assert titles == ["version 3: 90 %", "version 4: 10 %"]


def test_lines_show_each_version_over_time() -> None:
    history = {
        "3": [Point(0.0, 10, 0, 0.1), Point(15.0, 10, 1, 0.2)],
        "4": [Point(15.0, 5, 5, None)],
    }
    latency = ElementTree.fromstring(over_time(LATENCY, history, ["3", "4"]))
    assert "of versions 3: maximum 200 ms" in latency.get("aria-label", "")
    errors = ElementTree.fromstring(over_time(ERRORS, history, ["3", "4"]))
    assert "of versions 3, 4: maximum 100.0%" in errors.get("aria-label", "")
    titles = [title.text for title in errors.iter("title")]
    assert titles[-1] == "version 4, 00:00:15 UTC: 100.0%"
    assert not over_time(LATENCY, {}, [])


def test_history_keeps_what_happened_between_two_samples() -> None:
    history = VersionHistory()
    history.sample([(("f", "3"), (10, 1, 0.1)), (("f", "4"), (0, 0, None))], now=15.0)
    history.sample([(("f", "3"), (10, 1, 0.1)), (("f", "4"), (4, 4, 0.2))], now=30.0)
    assert history.of("f") == {"3": [Point(15.0, 10, 1, 0.1)], "4": [Point(30.0, 4, 4, 0.2)]}
    history.sample([(("f", "4"), (5, 4, 0.2))], now=45.0)
    assert list(history.of("f")) == ["4"]
