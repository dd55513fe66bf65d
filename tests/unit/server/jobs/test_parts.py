"""Lanes, logs, followers and the header that makes a call a job."""

import asyncio
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders

from easymlnb.contract.errors import BadRequest, Forbidden
from easymlnb.contract.resources import WorkerResources
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.training import Training
from easymlnb_server.calls.options import preferred_wait
from easymlnb_server.identity.access import Caller, owner_key, pass_key
from easymlnb_server.jobs import lanes
from easymlnb_server.jobs.events import CHANGED, MAX_PENDING, JobEvents
from easymlnb_server.jobs.logs import JobLogs
from easymlnb_server.jobs.submission import (
    VISITOR_RETENTION,
    JobFactory,
    Submission,
    kept_seconds,
)
from easymlnb_server.workers.selection import required_gpus


def test_lanes_are_checked() -> None:
    parsed = lanes.parse({"jobs": {"workers": 3}, "gpu": {"placement": "big", "per_user": 1}})
    assert parsed["gpu"].placement == "big" and parsed["jobs"].workers == 3
    for wrong, message in (
        ({"jobs": {"workers": 0}}, "workers must be at least 1"),
        ({"jobs": {"worker": 1}}, "worker"),
        ({"jobs": 2}, "'jobs' is invalid"),
        ({"gpu": {}}, "must be a lane 'jobs'"),
    ):
        with pytest.raises(ValueError, match=message):
            lanes.parse(wrong)
    assert lanes.choose(parsed, "call", "") == "jobs"
    assert lanes.parse({"jobs": {}, "train": {}, "x": {}})["train"].grace == 30.0
    assert lanes.parse({"jobs": {}, "train": {"grace": 5}})["train"].grace == 5.0
    lanes.check_placements(parsed, ["local", "big"])
    with pytest.raises(ValueError, match=r"'gpu' names the placement 'big', .* Placements: local"):
        lanes.check_placements(parsed, ["local"])
    with pytest.raises(BadRequest, match=r"no lane named 'x'\. Lanes: gpu, jobs"):
        lanes.choose(parsed, "call", "x")


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("", None),
        ("return=minimal", None),
        ("respond-async", 0.0),
        ("wait=10", 10.0),
        ("respond-async, wait=5", 5.0),
        ('Wait="7"', 7.0),
        ("wait=9999", 600.0),
        ("wait=-1", None),
        ("wait=x", None),
    ],
)
def test_prefer_says_how_long_to_wait(header: str, wait: float | None) -> None:
    assert preferred_wait(HTTPHeaders({"Prefer": header} if header else {})) == wait


def test_output_that_comes_again_is_stored_once(tmp_path: Path) -> None:
    logs = JobLogs(tmp_path / "logs")
    logs.open()
    assert logs.append("j", 1, 0, b"one\n") == b"one\n"
    assert logs.append("j", 1, 0, b"one\ntwo\n") == b"two\n"
    assert logs.append("j", 1, 99, b"gap") == b""
    assert logs.read("j", 1) == b"one\ntwo\n"
    logs.append("j", 2, 0, b"again\n")
    both = b"one\ntwo\n\n--- attempt 2 ---\nagain\n"
    assert logs.read("j", 2) == both and logs.end("j", 2) == len(both)
    assert logs.end("j", 1) == len(b"one\ntwo\n")
    logs.remove("j", 2)
    assert logs.read("j", 2) == b"\n--- attempt 2 ---\n"


def test_progress_survives_its_process(tmp_path: Path) -> None:
    logs = JobLogs(tmp_path)
    assert logs.progress("j", 1) is None
    logs.save_progress("j", 1, (0.5, "half"))
    logs.save_progress("j", 1, (0.75, ""))
    assert JobLogs(tmp_path).progress("j", 1) == (0.75, "")
    (tmp_path / "j-2.progress").write_text("[0.5")
    assert logs.progress("j", 2) is None
    logs.remove("j", 2)
    assert not list(tmp_path.iterdir())


def test_a_slow_follower_is_cut_off() -> None:
    async def follow() -> None:
        events = JobEvents()
        with events.follow("j") as follower:
            for _ in range(MAX_PENDING + 5):
                events.publish("j", CHANGED)
            events.publish("other", CHANGED)
            assert follower.qsize() == MAX_PENDING + 1
            found = [follower.get_nowait() for _ in range(MAX_PENDING + 1)]
            assert found[-1] is None and found[0] is not None
        events.publish("j", CHANGED)

    asyncio.run(follow())


def factory(training: Training | None = None) -> JobFactory:
    spec = ServiceSpec(name="f", title="", input={}, output={}, timeout=60.0, training=training)
    target = SimpleNamespace(name="f", version="1", spec=spec)
    published = {"f": SimpleNamespace(versions={1: SimpleNamespace(bundle="b")}, owner="ann")}
    invoker: Any = SimpleNamespace(find=lambda *given, **how: target)
    lanes_of: Any = lanes.parse({"jobs": {}, "train": {}})
    return JobFactory(invoker, published, lanes_of, 86400.0, lambda name: None)  # type: ignore[arg-type]


def test_the_job_of_a_user_and_of_a_visitor() -> None:
    asked: dict[str, Any] = {"service": "f", "body": b"", "lane": "train", "attempts": 3}
    made = factory().make(
        Submission(caller=Caller("ann"), owner=owner_key("ann"), timeout=600.0, **asked)
    )
    assert (made.lane, made.attempts, made.timeout) == ("train", 3, 600.0)
    assert kept_seconds(made, 10 * VISITOR_RETENTION) == 10 * VISITOR_RETENTION
    # It runs once, in the default lane, not longer than a call, and is kept for a day.
    made = factory().make(Submission(caller=None, owner=pass_key("x"), timeout=600.0, **asked))
    assert (made.lane, made.attempts, made.timeout) == ("jobs", 1, 60.0)
    assert (made.options.user, kept_seconds(made, 10 * VISITOR_RETENTION)) == (
        "",
        VISITOR_RETENTION,
    )
    with pytest.raises(Forbidden, match="need a login"):
        factory().make(Submission(caller=None, owner="visitor 127.0.0.1", **asked))
    with pytest.raises(BadRequest, match="attempts must be from 1 to 20, not 99"):
        factory().make(
            Submission(caller=Caller("ann"), owner=owner_key("ann"), **asked | {"attempts": 99})
        )


def test_the_job_of_a_training() -> None:
    training = Training(model="forest", attempts=2, timeout=3600.0)
    asked: dict[str, Any] = {"service": "f", "body": b""}
    ann = Submission(caller=Caller("ann"), owner=owner_key("ann"), **asked)
    made = factory(training).make(ann)
    assert (made.kind, made.lane, made.attempts, made.losses) == ("train", "train", 2, 3)
    assert made.timeout == 3600.0
    made = factory(training).make(dataclasses.replace(ann, lane="jobs", attempts=5, timeout=9.0))
    assert (made.lane, made.attempts, made.timeout) == ("jobs", 5, 9.0)
    with pytest.raises(Forbidden, match="Training needs a login"):
        factory(training).make(Submission(caller=None, owner=pass_key("x"), **asked))


def test_gpus_of_a_training_are_for_its_jobs() -> None:
    def spec(gpu: float, training: Training | None = None) -> ServiceSpec:
        resources = WorkerResources(gpu=gpu)
        return ServiceSpec(
            name="f", title="", input={}, output={}, resources=resources, training=training
        )

    specs = (spec(0.5), spec(2.0, Training(model="forest")))
    assert required_gpus(specs) == 0.5 and required_gpus(specs, training=True) == 2.0
