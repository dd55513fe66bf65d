"""The whole form, with real services behind it."""

import threading
import time
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import Field

import easymlnb as ml
from easymlnb.contract.errors import CallerError, NotReady
from easymlnb.forms import call_monitor
from easymlnb.forms.call_protocol import Event, Progress, Succeeded
from easymlnb.forms.containers import Optional
from easymlnb.forms.examples import example_names, gallery
from easymlnb.forms.fields import EMPTY_FIELD
from easymlnb.forms.form import CHECK_FIELDS, Form
from easymlnb.forms.local_caller import LocalCaller
from easymlnb.services.definition import define
from easymlnb.types.image import Image
from easymlnb.types.numbers import Slider
from easymlnb.types.plot import Plot

PATIENCE = 20.0


def form_of(function: Any, **options: Any) -> Form:
    service = define(function, **options)
    return Form(service.spec, LocalCaller(service))


def ran(form: Form) -> Form:
    form.run()
    form.wait(PATIENCE)
    assert form._monitor is None
    return form


def result(form: Form) -> str:
    return "".join(getattr(one, "value", "") for one in form.result_panel._parts.children)


def until(test: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not test():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def half(value: Annotated[float, Slider(0, 10, 0.5)] = 3.0) -> dict[str, float]:
    """Halves a number."""
    print("halving", value)
    return {"half": value / 2}


def sized(file: ml.File, name: str = "Ada") -> int:
    return file.size


def say(form: Form, **words: Any) -> None:
    """Do what the script of the form's file field does."""
    buffers = [words.pop("data")] if "data" in words else []
    control = form.fields.fields["file"].control
    widget = (control.field.control if isinstance(control, Optional) else control).widget
    content = {"method": "custom", "content": words}
    widget._handle_msg({"content": {"data": content}, "buffers": buffers})


def chosen(form: Form) -> None:
    say(form, action="uploading", name="a.txt")
    say(form, action="begin", name="a.txt", type="text/plain")


def test_a_call_waits_for_the_file_that_is_being_sent():
    form = form_of(sized)
    chosen(form)
    form.run()
    assert form.busy
    say(form, action="chunk", data=b"hello")
    assert form._monitor is None
    say(form, action="end")
    form.wait(PATIENCE)
    assert "5" in result(form)
    assert not form.busy


def test_a_call_that_waits_for_a_file_can_be_stopped():
    form = form_of(sized)
    chosen(form)
    form.run()
    form.stop()
    assert not form.busy
    say(form, action="end")
    assert not form.busy
    assert "No result yet" in result(form)


def test_a_call_that_waited_for_a_file_that_is_refused_does_not_begin():
    form = form_of(sized)
    chosen(form)
    form.run()
    say(form, action="rejected", problem="Too large.")
    assert not form.busy
    assert CHECK_FIELDS in form.run_bar._text.value


def test_a_call_does_not_begin_without_the_file_that_it_waited_for():
    def sized_if(file: ml.File | None = None) -> int:
        return file.size if file else 0

    form = form_of(sized_if)
    chosen(form)
    form.run()
    say(form, action="removed")
    assert not form.busy
    assert "No result yet" in result(form)


def test_a_message_goes_with_the_value_that_it_is_about():
    form = form_of(sized)
    form.run()
    field = form.fields.fields["file"]
    assert EMPTY_FIELD in field._error.value
    say(form, action="ready")
    assert EMPTY_FIELD in field._error.value
    chosen(form)
    say(form, action="end")
    assert "em-outdated" in field._error._dom_classes
    form.run()
    form.wait(PATIENCE)
    assert field._error.value == ""
    assert CHECK_FIELDS not in form.run_bar._text.value


def test_a_call_shows_result_log_and_code():
    form = ran(form_of(half))
    assert "1.5" in result(form)
    assert "halving 3.0" in form.result_panel.log_widget.value
    assert "c.half(value=3.0)" in form.code_panel.widget.value
    assert "request" in form.result_panel._about.value
    assert not form.run_bar._run.disabled
    assert form.run_bar._stop.disabled


def test_the_buttons_do_what_they_say():
    form = form_of(half, examples=[{"value": 8.0}, {"value": 4.0}])
    shown = gallery(form.spec)
    assert 'data-em-value="0"><span>Value: 8</span>' in shown
    assert 'data-em-value="1"><span>Value: 4</span>' in shown
    form.script.on_message({"action": "example", "value": "0"}, [])
    form.run_bar._run.click()
    form.wait(PATIENCE)
    assert ">4<" in result(form)


def test_an_example_resets_what_it_does_not_mention():
    def f(a: int = 1, b: int = 2): ...

    form = form_of(f)
    form.fill({"a": 7, "b": 8})
    form.fill({"a": 9})
    assert form.values() == {"a": 9, "b": 2}


def test_examples_are_named_by_what_tells_them_apart():
    def f(kind: str, size: int = 1): ...

    spec = define(
        f,
        examples=[{"kind": "a", "size": 1}, {"kind": "a", "size": 2}, {"kind": "a", "size": 2}],
    ).spec
    assert example_names(spec) == ["Size: 1", "Example 2", "Example 3"]


def test_an_empty_required_field_is_marked_and_nothing_is_called():
    called = []

    def f(name: str) -> str:
        called.append(name)
        return name

    form = ran(form_of(f))
    assert "Please fill in this field." in form.fields.fields["name"]._error.value
    assert not called


def test_a_refused_value_is_marked_at_its_field_and_stays_typed():
    def f(count: Annotated[int, Field(ge=1)] = 3) -> int:
        return count

    form = form_of(f)
    form.fill({"count": -3})
    ran(form)
    field = form.fields.fields["count"]
    assert "em-error" in field._error.value
    assert form.values() == {"count": -3}
    assert form.result_panel._failure.value == ""
    form.fill({"count": 3})
    assert field._error.value == ""
    assert ">3<" in result(ran(form))


def test_an_error_of_the_function_is_a_card_with_its_traceback_folded():
    def f() -> int:
        print("on the way")
        raise ValueError("<b>secret</b>")

    form = ran(form_of(f))
    said = form.result_panel._failure.value
    assert "ValueError" in said
    assert "Request" in said
    assert "<details><summary>Traceback" in said
    assert "<b>secret" not in said
    assert "on the way" in form.result_panel.log_widget.value


def test_what_a_function_says_to_its_caller_is_shown_in_its_words():
    def f() -> int:
        raise CallerError("Take a sharper picture.")

    form = ran(form_of(f))
    assert "Take a sharper picture." in form.result_panel._failure.value
    assert "<details>" not in form.result_panel._failure.value


def test_an_old_result_stays_dimmed_until_the_new_one_is_there():
    gate = threading.Event()

    def f(wait: bool = False) -> str:
        if wait:
            assert gate.wait(PATIENCE)
            return "new"
        return "old"

    form = ran(form_of(f))
    form.fill({"wait": True})
    form.run()
    assert "old" in result(form)
    assert "em-dim" in form.result_panel._parts._dom_classes
    gate.set()
    form.wait(PATIENCE)
    assert "new" in result(form)
    assert "em-dim" not in form.result_panel._parts._dom_classes


def test_progress_moves_while_it_runs_and_stop_stops():
    def f() -> int:
        for at in range(10_000):
            ml.progress(at / 10_000, f"step {at}")
            time.sleep(0.01)
        return 1

    form = form_of(f)
    form.run()
    until(lambda: form.run_bar._bar.value > 0)
    first = form.run_bar._bar.value
    until(lambda: form.run_bar._bar.value > first)
    assert "step" in form.run_bar._text.value
    form.run()  # A second click while it runs changes nothing.
    form.run_bar._stop.click()
    form.wait(PATIENCE)
    assert "stopped" in form.result_panel._failure.value
    assert not form.run_bar._run.disabled


def test_a_stream_appends_its_items_as_they_come():
    gate = threading.Event()

    def f() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        assert gate.wait(PATIENCE)
        yield {"a": 2}

    form = form_of(f)
    form.run()
    until(lambda: ">1<" in result(form))
    assert ">2<" not in result(form)
    gate.set()
    form.wait(PATIENCE)
    assert ">1<" in result(form)
    assert ">2<" in result(form)


def test_pieces_of_text_grow_together():
    def f() -> Iterator[str]:
        yield from ("Hel", "lo ", "<b>")

    form = ran(form_of(f))
    assert "Hello &lt;b&gt;" in result(form)
    assert len(form.result_panel._parts.children) == 1


def test_an_image_goes_in_and_comes_out():
    def f(image: Annotated[np.ndarray, Image()]) -> Annotated[np.ndarray, Image()]:
        return 255 - image

    black = np.zeros((4, 6), np.uint8)
    form = form_of(f, examples=[{"image": black}])
    form.fill(form.spec.examples[0])
    assert "em-thumb" in gallery(form.spec)
    assert "data:image/png" in result(ran(form))


def test_a_plotly_figure_is_shown_by_the_front_end():
    go = pytest.importorskip("plotly.graph_objects")

    def f() -> Annotated[Any, Plot()]:
        return go.Figure(go.Scatter(y=[1, 2]))

    form = ran(form_of(f))
    (shown,) = form.result_panel._parts.children
    assert "application/vnd.plotly.v1+json" in shown.outputs[0]["data"]


class Scripted:
    """Tells a form what a test wants it to hear."""

    def __init__(self, *events: Event) -> None:
        self.events = events
        self.on: Any = None
        self.stopped = False

    def start(self, values: Any, on: Any) -> "Scripted":
        self.on = on
        for event in self.events:
            on(event)
        return self

    def stop(self) -> None:
        self.stopped = True


def scripted(*events: Event) -> tuple[Form, Scripted]:
    caller = Scripted(*events)
    return Form(define(half).spec, caller), caller


def test_fast_progress_is_painted_at_a_pace_a_page_can_take(monkeypatch):
    painted = []
    told = [Progress(at / 5000, "") for at in range(5000)]
    form, _ = scripted(*told, Succeeded([{"kind": "text", "data": "end"}]))
    form.run_bar._bar.observe(painted.append, names="value")
    ran(form)
    assert len(painted) < 100
    assert "end" in result(form)


def test_a_call_that_does_not_stop_is_left_to_itself(monkeypatch):
    monkeypatch.setattr(call_monitor, "GRACE", 0.0)
    form, caller = scripted()
    form.run()
    form.stop()
    form.wait(PATIENCE)
    assert caller.stopped
    assert "did not stop in time" in form.result_panel._failure.value
    # What it says later is not for the next call.
    caller.on(Succeeded([{"kind": "text", "data": "late"}]))
    caller.events = (Succeeded([{"kind": "text", "data": "second"}]),)
    assert "second" in result(ran(form))


def test_a_caller_that_cannot_start_says_so():
    class Unready:
        def start(self, values: Any, on: Any) -> Any:
            raise NotReady("The service is starting.")

    form = ran(Form(define(half).spec, Unready()))
    assert "The service is starting." in form.result_panel._failure.value
    assert not form.run_bar._run.disabled


def test_a_caller_that_breaks_leaves_the_form_alive():
    class Broken:
        def start(self, values: Any, on: Any) -> Any:
            raise RuntimeError("defect")

    form = Form(define(half).spec, Broken())
    with pytest.raises(RuntimeError):
        form.run()
    form.wait(PATIENCE)
    assert "could not be started" in form.result_panel._failure.value
    assert not form.run_bar._run.disabled


def test_call_without_a_thread_to_show_it_leaves_the_form_alive(monkeypatch):
    def run(work: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(call_monitor.reused_threads, "run", run)
    form, _ = scripted()
    form.run()
    assert "too many calls are running" in form.result_panel._failure.value
    assert not form.busy and not form.run_bar._run.disabled


def test_code_that_cannot_be_shown_does_not_hide_the_result(monkeypatch):
    form, _ = scripted(Succeeded([{"kind": "text", "data": "end"}]))
    monkeypatch.setattr(form, "show_code", lambda values: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        form.run()
    form.wait(PATIENCE)
    assert "end" in result(form) and not form.busy


def test_closing_a_form_stops_its_call_and_frees_its_widgets():
    from ipywidgets.widgets.widget import _instances

    before = set(_instances)
    form, caller = scripted()
    form.run()
    assert len(_instances) > len(before)
    form.close()
    assert caller.stopped
    # Not even a layout or a style: one kernel may carry hundreds of forms, one after the other.
    assert set(_instances) == before


def test_a_form_displays_as_its_widget():
    form = form_of(half)
    shown = form._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert shown["text/plain"] == "The form of 'Half'. Run the cell to use the form."


def test_a_long_description_is_folded_and_its_markdown_is_safe():
    about = "First *part*.\n\n" + "Second <script>alert(1)</script> part. " * 40
    spec = define(half, description=about, author="<b>Ada</b>", tags=["x"]).spec
    from easymlnb.forms.form import header

    said = header(spec)
    assert "<em>part</em>" in said
    assert "<details>" in said
    assert "<script" not in said
    assert "<b>Ada" not in said


def test_all_that_is_wrong_is_marked_at_once():
    def limited(
        name: str,
        count: Annotated[int, Field(ge=1)] = 1,
        share: Annotated[float, Field(lt=2)] = 1.0,
        words: Annotated[str, Field(max_length=3)] = "x",
        pair: tuple[int, Annotated[int, Field(gt=0)]] = (1, 1),
        maybe: Annotated[int, Field(le=5)] | None = None,
    ) -> int:
        return count

    form = form_of(limited)
    told: list[Any] = []
    form.script.send = lambda content, buffers=None: told.append(content)
    form.fill({"count": 0, "share": 2.0, "words": "long", "pair": [1, 0], "maybe": 6})
    form.run()
    assert not form.busy
    fields = form.fields.fields
    said = {
        "name": EMPTY_FIELD,
        "count": "at least 1",
        "share": "less than 2",
        "words": "at most 3 characters",
    }
    for name, words in said.items():
        assert words in fields[name]._error.value, name
    assert "greater than 0" in fields["pair"].control.fields["1"]._error.value
    assert "at most 5" in fields["maybe"].control.field._error.value or (
        "at most 5" in fields["maybe"]._error.value
    )
    assert "em-wrong" in form.run_bar._text.value
    assert told[-1]["action"] == "invalid"


def test_limits_alone_refuse_no_call():
    # The service decides; the form checks limits only of values that it can send.
    def limited(count: Annotated[int, Field(ge=1)] = 1) -> int:
        return count

    form = form_of(limited)
    form.fill({"count": 0})
    ran(form)
    assert "at least 1" in form.fields.fields["count"]._error.value
