"""The numbers as a Prometheus server reads them, and as the service's page shows them."""

import os
import signal
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.notebooks import make_notebook
from support.server import RunningServer

NOTEBOOK = """
import os
import easymlnb as ml

@ml.service
def counted(x: int) -> int:
    return os.getpid() if x else 1 // x

@ml.service
def uncounted() -> int:
    return 1
"""


@pytest.fixture(scope="module")
def counting(session_server: RunningServer) -> Iterator[RunningServer]:
    found = session_server.publish(make_notebook(NOTEBOOK), "counting.ipynb")
    assert found["state"] == "ready", found
    yield session_server
    session_server.http.delete("services/counted")
    session_server.http.delete("services/uncounted")


def scrape(server: RunningServer) -> httpx.Response:
    return httpx.get(f"{server.url}metrics", headers=dict(server.http.headers), timeout=60)


def sample(server: RunningServer, name: str, **labels: str) -> float | None:
    """Return the sum of a metric's series with these labels; ``None`` when there is none."""
    found = [
        sample.value
        for family in text_string_to_metric_families(scrape(server).text)
        for sample in family.samples
        if sample.name == f"easymlnb_{name}" and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else None


def test_metrics_need_a_login(counting: RunningServer) -> None:
    bearer = {"Authorization": f"Bearer {counting.token}"}  # as Prometheus says it
    answer = httpx.get(f"{counting.url}metrics", headers=bearer, timeout=60)
    assert "easymlnb_calls" in answer.text
    answer = httpx.get(f"{counting.url}metrics", timeout=60)
    assert answer.status_code == 403 and "easymlnb_calls" not in answer.text


def test_calls_losses_and_refusals_are_counted(counting: RunningServer) -> None:
    for _ in range(3):
        assert counting.call("counted", x=1).status_code == 200
    assert counting.call("counted", x="no").status_code == 422
    assert counting.call("counted", x=0).status_code == 500
    wrong = {"X-Timeout": "soon"}
    assert counting.http.post("services/counted/call", headers=wrong).status_code == 400
    assert counting.http.post("services/nobody-has-it/call").status_code == 404
    of = {"service": "counted", "version": "1"}
    assert sample(counting, "calls_total", **of, code="ok", status="2xx") == 3
    assert sample(counting, "calls_total", **of, code="invalid_input", status="4xx") == 1
    assert sample(counting, "calls_total", **of, code="call_failed", status="5xx") == 1
    assert sample(counting, "calls_refused_total", **of, code="bad_request") == 1
    assert sample(counting, "calls_refused_total", code="service_not_found", service="") >= 1
    assert sample(counting, "call_duration_seconds_count", **of) == 5
    assert sample(counting, "calls_running", **of) == sample(counting, "calls_waiting", **of) == 0
    assert "nobody-has-it" not in scrape(counting).text

    os.kill(counting.call("counted", x=1).json(), signal.SIGKILL)
    counting.wait_for(
        lambda: sample(counting, "worker_restarts_total", **of, reason="lost") == 1,
        "the loss was not counted",
    )
    counting.wait_for(
        lambda: sample(counting, "workers_ready", **of) == 1, "there is no new worker"
    )
    assert sample(counting, "workers_wanted", **of) == 1
    stats = counting.http.get("services/counted").json()["stats"]
    assert {key: stats[key] for key in ("calls", "errors", "refused", "restarts", "workers")} == {
        "calls": 6, "errors": 2, "refused": 1, "restarts": 1, "workers": 1,
    }  # fmt: skip
    assert 0 < stats["p50"] <= stats["p95"]


def test_memory_is_that_of_real_processes(counting: RunningServer) -> None:
    found = counting.wait_for(
        lambda: sample(counting, "worker_memory_bytes", service="uncounted"),
        "memory is not reported",
    )
    assert found > 10 * 2**20
    assert counting.http.get("services/uncounted").json()["stats"]["memory_bytes"] > 10 * 2**20


def test_the_page_shows_the_numbers(counting: RunningServer) -> None:
    counting.call("uncounted")
    page = counting.http.get("services/uncounted/page").text
    assert "<dt>Calls</dt><dd>1</dd>" in page
    assert "<dt>Workers</dt><dd>1 of 1</dd>" in page


def test_a_removed_service_takes_its_series_along(counting: RunningServer) -> None:
    counting.call("uncounted")
    assert 'service="uncounted"' in scrape(counting).text
    counting.http.delete("services/uncounted")
    assert 'service="uncounted"' not in scrape(counting).text
