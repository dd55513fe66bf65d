"""A job in its worker: what it keeps while there is no server."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import easymlnb as ml
from easymlnb.contract.job_protocol import (
    JobAdopted,
    JobFile,
    JobFileStored,
    JobMetric,
    JobOutput,
    JobPromoted,
    JobStored,
    Leaving,
)
from easymlnb.contract.worker_protocol import Call, Failure, Progress, Result, unpack_to_server
from easymlnb.runtime import jobs
from easymlnb.runtime.call_execution import run_call
from easymlnb.runtime.context import CALL_LOGS, Context, OutputLog
from easymlnb.runtime.credentials import CREDENTIALS
from easymlnb.runtime.jobs import RUNNING, JobLog, JobRun
from easymlnb.runtime.link import LinkLost
from easymlnb.runtime.promoted_jobs import PromotedCall
from easymlnb.services.definition import define


class Wire:
    """A link that can be lost; it collects what is sent."""

    def __init__(self) -> None:
        self.lost = False
        self.got: list[tuple[Any, bytes]] = []

    def emit(self, message: Any, body: bytes) -> None:
        if self.lost:
            raise LinkLost("It is lost.")
        self.got.append((message, body))

    def send(self, data: bytes) -> None:
        if self.lost:
            raise LinkLost("It is lost.")
        self.got += unpack_to_server(data)

    def of(self, kind: type) -> list[Any]:
        return [message for message, _ in self.got if isinstance(message, kind)]

    def output(self) -> bytes:
        return b"".join(body for message, body in self.got if isinstance(message, JobOutput))


def until(done: Callable[[], Any]) -> Any:
    """Wait until ``done`` returns something true, and return that."""
    end = time.monotonic() + 20
    while not (found := done()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def run(tmp_path: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> JobRun:
    monkeypatch.setattr(jobs, "_folder", [tmp_path])
    return JobRun(Call(id=7, service="f", job="j", attempt=1), wire.emit)


def test_a_lost_link_costs_nothing(run: JobRun, wire: Wire) -> None:
    with run:
        run.log.write("one\n")
        run.send_output(wire.send, all_of_it=True)
        wire.lost = True
        run.lose_link()
        run.log.write("two\n")
        ml.job().metric("loss", 0.5, step=3)
        ml.job().save_file("a.txt", "content")
        run(Progress(id=7, fraction=0.5), b"")
        run.send_output(wire.send, all_of_it=True)
        run.finish((Result(id=7, content_type="application/json"), b"42"))
        assert (run.folder / "end").exists()
        run.send_end(wire.send)
        wire.lost, wire.got = False, []
        run.send_end(wire.send)
        assert wire.got == []  # the next server does not know the job yet
        run.receive(JobAdopted(id=7, log=2), b"")
        (file,) = until(lambda: wire.of(JobFile))
        run.send_end(wire.send)
        assert not wire.of(Result)  # it must not overtake a file
        run.receive(JobFileStored(id=7, number=file.number), b"")
        until(lambda: (run.send_end(wire.send), wire.of(Result))[1])
        run.send_end(wire.send)
    assert wire.output() == b"e\ntwo\n"
    assert [(m.name, m.step, m.value) for m in wire.of(JobMetric)] == [("loss", 3, 0.5)]
    assert [m.label for m in wire.of(JobFile)] == ["a.txt"]
    assert [m.fraction for m in wire.of(Progress)] == [0.5]
    assert len(wire.of(Result)) == 1 and wire.got[-1][1] == b"42"
    assert run.folder.exists()  # the server has not confirmed that it stored the result


def test_stored_files_and_results_are_removed(run: JobRun, wire: Wire) -> None:
    with run:
        ml.job().save_file("a.txt", b"content")
        (message,) = until(lambda: wire.of(JobFile))
        run.receive(JobFileStored(id=7, number=message.number), b"")
        until(lambda: not list(run.folder.glob("file-*")))
        run.receive(JobAdopted(id=7), b"")
        assert len(wire.of(JobFile)) == 1
        run.receive(JobStored(id=7), b"")
    assert run.stored and not run.folder.exists()


def test_a_node_that_ends_lets_its_job_leave(run: JobRun, wire: Wire) -> None:
    def fit() -> int:
        checkpoint = ml.checkpoint()
        with pytest.raises(RuntimeError, match="Check 'leaving'"):
            checkpoint.leave()
        checkpoint.save(3, weights=[1.0])
        run.receive(Leaving(id=7, seconds=20), b"")
        if checkpoint.leaving:
            checkpoint.leave()
        return 1

    with run:
        end = run_call(define(fit, name="f"), run.call, b"{}", run)
        run.finish(end)
        (message,) = until(lambda: wire.of(JobFile))
        assert message.checkpoint
        run.send_end(wire.send)
        assert not wire.of(Failure)  # the checkpoint comes first
        run.receive(JobFileStored(id=7, number=message.number), b"")
        until(lambda: (run.send_end(wire.send), wire.of(Failure))[1])
    (failure,) = wire.of(Failure)
    assert (failure.code, failure.trace, run.terminated) == ("preempted", "", False)


@pytest.mark.parametrize(
    ("code", "told"), [("call_failed", "preempted"), ("invalid_input", "invalid_input")]
)
def test_what_is_raised_after_sigterm_is_no_error(run: JobRun, code: str, told: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with run:
        assert not ml.checkpoint().leaving
        os.kill(os.getpid(), signal.SIGTERM)
        assert ml.checkpoint().leaving
        run.finish((Failure(id=7, code=code, message="A child was killed."), b""))
        (found, _) = next(unpack_to_server((run.folder / "end").read_bytes()))
    assert isinstance(found, Failure) and found.code == told
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_a_job_nothing_happens() -> None:
    job = ml.job()
    job.metric("loss", 1.0)
    job.save_file("a", b"")
    job.checkpoint().save(1, weights=[])
    job.checkpoint().leave()
    assert (job.id, job.attempt, ml.checkpoint().load()) == ("", 0, None)
    assert not ml.checkpoint().leaving
    with pytest.raises(ValueError, match="1 to 200 printable"):
        job.metric("", 1.0)


def test_a_call_that_becomes_a_job_loses_no_output(
    tmp_path: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_folder", [tmp_path])
    monkeypatch.setattr(signal, "pthread_kill", lambda thread, number: None)
    promotion = PromotedCall(threading.Lock(), wire.emit, wire.emit)
    call = Call(id=7, service="f")
    promotion.begin(call)
    promotion.keep_log()
    context, printed = Context(call, wire.emit), 0
    made: list[JobRun | None] = []
    message = JobPromoted(id=7, job="j", attempt=1)
    thread = threading.Thread(target=lambda: made.append(promotion.receive(message)))
    while printed < 2000 or thread.is_alive():
        if printed == 1000:
            thread.start()
        if printed > 2000:  # the thread is slow: stay within the limit of a call's log
            time.sleep(0.001)
        context.log.write(f"{printed}\n")
        printed += 1
    (run,) = made
    assert run is not None and promotion.end() is run
    # Nothing has run on the main thread since, so it is there for a server that finds it killed.
    assert (run.folder / "log").read_text().split() == [str(n) for n in range(printed)]
    with run:
        run.receive(JobStored(id=7), b"")
    assert not RUNNING and not CALL_LOGS


def test_a_log_shows_no_credential(run: JobRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CREDENTIALS, "mask", lambda text: text.replace("s3cret", "***"))
    with run:
        run.log.write("the key is s3cret\n")
        assert run.log.read(0) == b"the key is ***\n"


def test_a_log_that_is_cut_shows_no_part_of_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CREDENTIALS, "mask", lambda text: text.replace("s3cret", "***"))
    log = OutputLog(10)
    log.write("key is s3cret")
    assert log.text().startswith("key is ***") and "s3" not in log.text()


def test_a_log_is_cut_with_a_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOG_LIMIT", 10)
    log = JobLog(tmp_path / "log")
    for text in ("12345", "äöü", "more", "and more"):
        log.write(text)
    log.close()
    text = (tmp_path / "log").read_text()
    assert text.startswith("12345äö\n") and "the rest is cut" in text and "more" not in text


def test_a_thread_may_print_after_the_end_of_its_job(run: JobRun) -> None:
    with run:
        run.log.write("before\n")
    run.log.write("after\n")
    assert (run.folder / "log").read_text() == "before\n"
