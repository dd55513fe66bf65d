"""A job in its worker: what it keeps while there is no server."""

from pathlib import Path
from typing import Any

import pytest

import easymlnb as ml
from easymlnb.contract.job_protocol import JobAdopted, JobFile, JobMetric, JobOutput
from easymlnb.contract.worker_protocol import Call, Result, unpack_to_server
from easymlnb.runtime import jobs
from easymlnb.runtime.jobs import JobLog, JobRun
from easymlnb.runtime.link import LinkLost


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
        run.send_output(wire.send, all_of_it=True)
        run.finish((Result(id=7, content_type="application/json"), b"42"))
        assert (run.folder / "end").exists()
        run.send_end(wire.send)
        wire.lost, wire.got = False, []
        run.send_end(wire.send)
        assert wire.got == []  # the next server does not know the job yet
        run.adopted(JobAdopted(id=7, log=2))
        run.send_end(wire.send)
        run.send_end(wire.send)
    assert wire.output() == b"e\ntwo\n"
    assert [(m.name, m.step, m.value) for m in wire.of(JobMetric)] == [("loss", 3, 0.5)]
    assert [m.label for m in wire.of(JobFile)] == ["a.txt"]
    assert len(wire.of(Result)) == 1 and wire.got[-1][1] == b"42"
    assert run.folder.exists()  # the server has not confirmed that it stored the result


def test_stored_files_and_results_are_removed(run: JobRun, wire: Wire) -> None:
    with run:
        ml.job().save_file("a.txt", b"content")
        (message,) = wire.of(JobFile)
        run.file_stored(message.number)
        run.adopted(JobAdopted(id=7))
        assert len(wire.of(JobFile)) == 1
        run.stored = True
    assert not run.folder.exists()


def test_a_checkpoint_is_loaded_by_the_next_attempt(run: JobRun, wire: Wire) -> None:
    with run:
        checkpoint = ml.job().checkpoint()
        assert checkpoint.load() is None
        checkpoint.save({"epoch": 1})
        checkpoint.save({"epoch": 2})
        assert checkpoint.load() == {"epoch": 2}
    jobs.receive_checkpoint("j", 2, "", wire.got[-1][1])
    with JobRun(Call(id=8, service="f", job="j", attempt=2), wire.emit):
        assert ml.job().checkpoint().load() == {"epoch": 2}


def test_outside_a_job_nothing_happens() -> None:
    job = ml.job()
    job.metric("loss", 1.0)
    job.save_file("a", b"")
    job.checkpoint().save({})
    assert (job.id, job.attempt, job.checkpoint().load()) == ("", 0, None)
    with pytest.raises(ValueError, match="1 to 200 printable"):
        job.metric("", 1.0)


def test_a_log_is_cut_with_a_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOG_LIMIT", 10)
    log = JobLog(tmp_path / "log")
    for text in ("12345", "äöü", "more", "and more"):
        log.write(text)
    log.close()
    text = (tmp_path / "log").read_text()
    assert text.startswith("12345äö\n") and "the rest is cut" in text and "more" not in text
