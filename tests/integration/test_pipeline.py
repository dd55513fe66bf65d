"""Pipelines are services like any other: live and published, called, checked and watched."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import RunningServer

STEPS = """
import time
from typing import TypedDict
import easymlnb as ml

class Words(TypedDict):
    words: list[str]
    text: str

def prepare(text: str) -> Words:
    ml.progress(0.5, "preparing")
    return {{"words": text.split(), "text": text}}

@ml.service(name="{name}_count")
def count(words: list[str], text: str, factor: int = 1) -> int:
    time.sleep(0.1)  # or its progress would be too close to that of the previous step
    ml.progress(0.5, "counting")
    if not words:
        raise ValueError("secret")
    return len(words) * factor

async def longest(words: list[str], text: str) -> str:
    return max(words, key=len, default="")

def report(count: int, longest: str) -> str:
    return f"{{count}} words, longest {{longest}}"

straight = ml.pipeline(
    prepare, count, name="{name}_straight", expose=["factor"], examples=[{{"text": "a b"}}]
)
both = ml.gather(count=count, longest=longest, name="{name}_both")
whole = ml.pipeline(prepare, both, report, name="{name}", examples=[{{"text": "one three"}}])

@whole.view
def seen(result: str) -> str:
    return f"Seen: {{result}}"

@ml.service(name="{name}_caller")
def caller(text: str) -> str:
    return f"{{whole(text)}} ({{count(text.split(), text)}})"
"""


@pytest.fixture(scope="module", params=["live", "published"])
def name(request: pytest.FixtureRequest, session_server: RunningServer) -> Iterator[str]:
    """The services of ``STEPS`` on a server; their names begin with this."""
    name = f"pipe_{request.param}"
    source = STEPS.format(name=name)
    if request.param == "published":
        found = session_server.publish(make_notebook(source), "pipeline.ipynb")
        assert found["state"] == "ready", found
        yield name
        return
    kernel = NotebookKernel(session_server.http, "live_pipeline.ipynb")
    ran = kernel.run(source)
    assert (ran.error, ran.stderr, len(ran.displays)) == ("", "", 5)
    yield name
    kernel.close()


def test_pipeline_answers(session_server: RunningServer, name: str) -> None:
    assert session_server.call(name, text="a bbb").json() == "2 words, longest bbb"
    assert session_server.call(f"{name}_straight", text="a b c", factor=2).json() == 6
    assert session_server.call(name, text=5).status_code == 422


def test_gather_returns_named_outputs(session_server: RunningServer, name: str) -> None:
    answer = session_server.call(f"{name}_both", words=["a", "bb"], text="a bb")
    assert answer.json() == {"count": 2, "longest": "bb"}


def test_service_calls_others_of_its_notebook(session_server: RunningServer, name: str) -> None:
    answer = session_server.call(f"{name}_caller", text="a bbb")
    assert answer.json() == "2 words, longest bbb (2)"


def test_description_and_view(session_server: RunningServer, name: str) -> None:
    spec = session_server.http.get(f"services/{name}").json()
    assert spec["description"].startswith(f"prepare → {name}_both → report")
    assert (spec["examples"], spec["output"]["type"]) == ([{"text": "one three"}], "string")
    seen = session_server.http.post(f"services/{name}/view", json={"text": "a"}).json()
    assert seen["parts"][0]["data"] == "Seen: 1 words, longest a"


def events(http: httpx.Client, name: str, **values: Any) -> Iterator[tuple[str, Any]]:
    headers = {"Accept": "text/event-stream"}
    kind = ""
    with http.stream("POST", f"services/{name}/call", json=values, headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize(
    ("which", "fractions"),
    # In the whole, the second of three steps counts, as one of two: 1/3 + 1/2 * 1/2 * 1/3.
    [("_straight", [0.25, 0.75]), ("", [0.5 / 3, 1 / 3 + 0.25 / 3])],
)
def test_progress_comes_scaled(
    session_server: RunningServer, name: str, which: str, fractions: list[float]
) -> None:
    found = list(events(session_server.http, name + which, text="a b"))
    told = [data["fraction"] for kind, data in found if kind == "progress"]
    assert told[0] == pytest.approx(fractions[0])
    assert told[-1] >= fractions[1] - 1e-9  # the async member may be done by then, or not
    assert found[-1][0] == "result"


def test_error_names_the_step_in_the_log_only(session_server: RunningServer, name: str) -> None:
    answer = session_server.call(f"{name}_straight", text="")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "call_failed")
    assert "secret" not in answer.text
    assert "step" not in answer.text
    entries = session_server.http.get(f"services/{name}_straight/log").json()["entries"]
    assert f"In step 2 'count' of '{name}_straight'." in entries[-1]["trace"]


def test_example_that_fails_keeps_a_pipeline_from_being_published(
    session_server: RunningServer,
) -> None:
    source = STEPS.format(name="pipe_broken").replace('{"text": "a b"}', '{"text": ""}')
    found = session_server.publish(make_notebook(source), "broken_pipeline.ipynb")
    assert found["state"] == "failed"
    assert "Example 1 of 'pipe_broken_straight' failed" in found["error"]["message"]


def test_stopping_a_call_stops_its_members(session_server: RunningServer) -> None:
    source = """
import easymlnb as ml

def endless() -> int:
    while True:
        pass

both = ml.gather(a=endless, b=endless, name="pipe_endless", timeout=1)

@ml.service
def pipe_after() -> int:
    import threading
    return sum(thread.name in ("easymlnb-a", "easymlnb-b") for thread in threading.enumerate())
"""
    found = session_server.publish(make_notebook(source), "endless.ipynb")
    assert found["state"] == "ready", found
    assert session_server.call("pipe_endless").status_code == 504
    session_server.wait_for(
        lambda: session_server.call("pipe_after").json() == 0, "the threads still run"
    )
