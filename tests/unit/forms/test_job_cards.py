"""The jobs that a form starts, with a caller that keeps what it was asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from easymlnb.contract.errors import CallCancelled
from easymlnb.contract.training import Training
from easymlnb.forms.call_hand_over import MOVING
from easymlnb.forms.call_protocol import Event, Failed, HandOver, JobModel, JobStatus, Succeeded
from easymlnb.forms.form import CHECK_FIELDS, UPLOAD_FIRST, Form
from easymlnb.forms.job_cards import MAX_CARDS
from easymlnb.forms.learning_curves import curves, read_curves
from easymlnb.services.definition import define

ID = "01JQ0000000000000000000000"


class Running:
    def stop(self) -> None:
        """The test ends the call."""


class Leavable(Running):
    id = "call-1"

    def __init__(self) -> None:
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True

    def leave(self) -> None:
        """It continues."""


@dataclass
class Job:
    values: Any
    status: Callable[[JobStatus], None]
    asked: list[str] = field(default_factory=list)

    def cancel(self) -> None:
        self.asked.append("cancel")

    def leave(self) -> None:
        self.asked.append("leave")


class Caller:
    may_run_jobs = True

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.on_event: Callable[[Event], None] = print
        self.running = Running()
        self.moved: list[tuple[str, Callable[[HandOver], None]]] = []

    def start(self, values: dict[str, Any], on_event: Callable[[Event], None]) -> Running:
        self.on_event = on_event
        return self.running

    def hand_over(self, call: str, on_done: Callable[[HandOver], None]) -> None:
        self.moved.append((call, on_done))

    def submit_job(self, values: dict[str, Any], on_status: Callable[[JobStatus], None]) -> Job:
        self.jobs.append(Job(values, on_status))
        return self.jobs[-1]

    def follow_job(self, id: str, on_status: Callable[[JobStatus], None]) -> Job:
        return self.submit_job({"followed": id}, on_status)

    def read_job(self, id: str, on_event: Callable[[Event], None]) -> Running:
        on_event(Succeeded([{"kind": "text", "title": "", "data": f"result of {id}"}], 3.0))
        return Running()

    def use_model(self, id: str, on_done: Callable[[str], None]) -> None:
        on_done("" if id == ID else "There is no model.")


def half(value: float = 3.0) -> float:
    return value / 2


def made(timeout: float = 100.0) -> tuple[Form, Caller]:
    caller = Caller()
    return Form(define(half, timeout=timeout).spec, caller), caller


def cards(form: Form) -> str:
    assert form.jobs is not None
    return str(form.jobs.widget.value)


def offered(form: Form) -> bool:
    return form.run_bar._background in form.run_bar._buttons.children


def test_a_job_from_the_button_to_its_result() -> None:
    form, caller = made()
    assert offered(form) and form.jobs is not None
    form.jobs.base = "/easymlnb/"
    form.run_in_background()
    (job,) = caller.jobs
    assert job.values == {"value": 3.0}
    assert "Submitting" in cards(form) and not form.busy
    job.status(JobStatus(ID, text="The kernel is starting", position=3))
    assert "2 ahead of it. The kernel is starting" in cards(form)
    assert f'href="/easymlnb/jobs/{ID}/page"' in cards(form)
    assert f'href="/easymlnb/jobs/{ID}/log"' in cards(form)
    job.status(JobStatus(ID, "running", 0.25, "epoch 1"))
    assert "25 %" in cards(form) and "epoch 1" in cards(form) and 'value="0.250"' in cards(form)
    form.actions["job-cancel"]("1")
    assert job.asked == ["cancel"]
    job.status(JobStatus(ID, "succeeded", 1.0))
    assert "job-show" in cards(form) and "job-cancel" not in cards(form)
    form.actions["job-show"]("1")
    form.wait(20)
    parts = "".join(each.value for each in form.result_panel._parts.children)
    assert f"result of {ID}" in parts
    form.actions["job-remove"]("1")
    assert cards(form) == ""


def test_a_failed_job_says_why() -> None:
    form, caller = made()
    form.run_in_background()
    caller.jobs[0].status(JobStatus(ID, "failed", problem="<no> memory"))
    assert "Failed" in cards(form) and "&lt;no&gt; memory" in cards(form)


def test_a_job_of_valid_input_removes_the_message_about_former_input() -> None:
    form, _ = made()
    form.run_bar.end(CHECK_FIELDS, wrong=True)
    form.run_in_background()
    assert CHECK_FIELDS not in form.run_bar._text.value


def test_a_running_call_moves_to_the_background_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form, caller = made(timeout=30)
    assert not offered(form)
    form.run()
    form.run_bar.progress(None, 9)
    assert not offered(form)
    form.run_bar.progress(None, 11)
    assert offered(form)
    form.run_in_background()
    caller.on_event(Succeeded())  # too late to be stopped
    form.wait(20)
    assert [job.values for job in caller.jobs] == [{"value": 3.0}]


def running_form() -> tuple[Form, Caller, Leavable]:
    form, caller = made()
    caller.running = running = Leavable()
    form.run()
    form.run_in_background()
    return form, caller, running


def test_a_running_call_continues_as_a_job() -> None:
    form, caller, running = running_form()
    changes: list[str] = []
    form.on_jobs_changed = lambda: changes.append("changed")
    ((call, on_done),) = caller.moved
    assert call == "call-1" and MOVING in form.run_bar._text.value
    on_done(HandOver(ID))
    caller.on_event(Failed(CallCancelled(f"The call continues as the job {ID}.")))
    form.wait(20)
    assert [job.values for job in caller.jobs] == [{"followed": ID}]
    assert changes == ["changed"] and not running.stopped and not form.busy
    assert "continues as the job" in form.result_panel._failure.value
    assert form.jobs is not None and form.jobs.cards[0].values == {"value": 3.0}


def test_a_call_that_cannot_become_a_job_now_keeps_running() -> None:
    form, caller, running = running_form()
    caller.moved[0][1](HandOver(problem="All kernels are in use."))
    assert "All kernels are in use." in form.run_bar._text.value
    assert form.busy and not running.stopped and not caller.jobs
    form.run_in_background()
    caller.on_event(Succeeded())
    form.wait(20)
    caller.moved[1][1](HandOver(may_restart=True))  # it has ended meanwhile
    assert not caller.jobs and not form.busy


def test_a_call_that_can_never_become_a_job_starts_again_as_one() -> None:
    form, caller, running = running_form()
    caller.moved[0][1](HandOver(problem="It shares its worker.", may_restart=True))
    assert running.stopped and [job.values for job in caller.jobs] == [{"value": 3.0}]
    caller.on_event(Succeeded())
    form.wait(20)


def test_double_click_moves_a_call_once() -> None:
    form, caller, _ = running_form()
    form.run_in_background()
    assert len(caller.moved) == 1
    caller.moved[0][1](HandOver(problem="It shares its worker.", may_restart=True))
    form.run_in_background()
    assert len(caller.moved) == len(caller.jobs) == 1
    caller.on_event(Succeeded())
    form.wait(20)


def test_invalid_input_and_uploads_start_no_job() -> None:
    form, caller = made()
    form.fields.fields["value"].show_error((), "wrong")
    form.context.uploading.add("file")
    form.run_in_background()
    assert UPLOAD_FIRST in form.run_bar._text.value
    assert caller.jobs == []


def test_jobs_of_a_former_page_are_followed_once_and_left_at_the_end() -> None:
    form, caller = made()
    assert form.jobs is not None
    form.jobs.restore(ID, {"value": 4})
    form.jobs.restore(ID, {"value": 4})
    (job,) = caller.jobs
    assert job.values == {"followed": ID}
    form.close()
    assert job.asked == ["leave"]
    job.status(JobStatus(ID, "running"))  # arrives after the page has gone


def test_old_cards_give_way() -> None:
    form, caller = made()
    for number in range(MAX_CARDS + 2):
        form.run_in_background()
        caller.jobs[-1].status(JobStatus(f"{number:026d}", "succeeded"))
    assert form.jobs is not None
    assert len(form.jobs.cards) == MAX_CARDS


@pytest.mark.parametrize("may", [False, True])
def test_no_button_where_jobs_are_not_allowed(may: bool) -> None:
    caller = Caller()
    caller.may_run_jobs = may
    form = Form(define(half, timeout=100).spec, caller)
    assert (form.jobs is not None) is may


def test_the_form_of_a_training_has_its_button_curves_and_model() -> None:
    caller = Caller()
    spec = define(half, training=Training(model="line"), on_timeout="job").spec
    form = Form(spec, caller)
    assert form.run_bar._run.description == "Train" and not offered(form)
    assert form.jobs is not None
    form.jobs.base = "/easymlnb/"
    form.run_bar._run.click()
    (job,) = caller.jobs
    found = read_curves([{"name": "loss", "step": n, "value": 1 / (n + 1)} for n in range(3)])
    job.status(JobStatus(ID, "running", 0.5, curves=found))
    assert "Training: Running" in cards(form) and "loss 0.3333 at step 2" in cards(form)
    assert "<polyline" in cards(form)

    model = JobModel("line", 4, "model/model.skops", may_use=True)
    job.status(JobStatus(ID, "succeeded", 1.0, model=model, curves=found))
    assert "Made version 4 of the model line." in cards(form)
    assert f"/easymlnb/jobs/{ID}/files/model/model.skops" in cards(form)
    form.actions["job-use"]("1")
    assert "now in production" in cards(form) and "Use this one" not in cards(form)


def test_only_those_who_manage_a_model_can_use_it() -> None:
    form, caller = made()
    form.run_in_background()
    caller.jobs[0].status(JobStatus(ID, "succeeded", model=JobModel("line", 4)))
    assert "version 4 of the model line" in cards(form) and "Use this one" not in cards(form)


def test_curves_leave_out_what_cannot_be_drawn() -> None:
    assert curves(()) is None
    found = read_curves(
        [
            {"name": "loss", "step": 0, "value": float("nan")},
            {"name": "many", "step": 0, "value": 1.0},
            *({"name": "many", "step": n, "value": n} for n in range(1, 5000)),
        ]
    )
    assert [curve.name for curve in found] == ["many"]
    assert len(found[0].points) == 300 and found[0].points[-1] == (4999, 4999.0)
