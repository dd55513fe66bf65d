"""The content of an app page, without a browser: history, links, drafts, downloads."""

import json
import time
from typing import Any

import msgspec
import pytest
from ipywidgets.widgets.widget import _instances

import easymlnb as ml
from easymlnb.apps import permalinks
from easymlnb.apps.app_page import AppPage, UploadSettings
from easymlnb.apps.history import MAX_RUNS, MAX_SIZE, MAX_STORED, History
from easymlnb.apps.summaries import short
from easymlnb.contract.errors import CallCancelled, from_code
from easymlnb.forms.call_protocol import Failed, Succeeded, Waiting
from easymlnb.forms.finished_call import FinishedCall
from easymlnb.forms.local_caller import LocalCaller
from easymlnb.forms.run_bar import waiting_text
from easymlnb.services.definition import define

PATIENCE = 20.0


def greet(name: str, times: int = 1, key: ml.Secret = "", photo: ml.File | None = None) -> str:
    return f"Hello {name}! " * times


def ended(values: dict[str, Any], event: Any, **known: Any) -> FinishedCall:
    return FinishedCall(values, event=event, **known)


def app_of(**options: Any) -> AppPage:
    service = define(greet, examples=[{"name": "Ada"}], title="Greeter", license="MIT")
    app = AppPage(service.spec, LocalCaller(service), base="/base/easymlnb/", **options)
    app.heard = []  # type: ignore[attr-defined]
    app.form.script.send = lambda content, buffers=None: app.heard.append((content, buffers))  # type: ignore[attr-defined]
    return app


def do(app: AppPage, act: str, value: str = "") -> None:
    """Do what the script does when a person presses something."""
    app.form.script.on_message({"action": act, "value": value}, [])


def ran(app: AppPage, **values: Any) -> None:
    app.form.fill(values)
    app.form.run()
    app.form.wait(PATIENCE)


def shown(app: AppPage) -> str:
    return "".join(one.value for one in app.form.result_panel._parts.children)


def test_runs_are_listed_and_can_be_gone_back_to():
    app = app_of()
    ran(app, name="Ada")
    ran(app, name="Bo")
    assert "Hello Bo!" in shown(app)
    assert app._runs.value.count("<li") == 2
    do(app, "show", "1")
    assert "Hello Ada!" in shown(app)
    assert app.form.values()["name"] == "Ada"
    do(app, "again", "2")
    app.form.wait(PATIENCE)
    assert "Hello Bo!" in shown(app)
    app.close()


def test_two_runs_are_compared_by_what_differs():
    app = app_of()
    ran(app, name="Ada", times=2)
    ran(app, name="Ada", times=3)
    do(app, "compare", "1")
    (card,) = app._comparison.children
    head = card.children[0].value
    assert "<td>2</td><td>3</td>" in head
    assert "Name" not in head
    do(app, "uncompare")
    assert app._comparison.children == ()
    app.close()


def test_a_link_carries_what_was_filled_in_but_no_secret_and_no_file():
    app = app_of()
    photo = {"name": "a.png", "media_type": "image/png", "b64": "eA=="}
    app.form.fill({"name": "Ada", "times": 4, "key": "hunter2", "photo": photo})
    do(app, "link")
    (content, _) = app.heard[-1]  # type: ignore[attr-defined]
    assert content["action"] == "link"
    assert content["message"] == "Link copied, without files and secrets"
    found = permalinks.decode(content["value"])
    assert sorted(permalinks.missing(found)) == ["key", "photo"]
    assert found == {"name": "Ada", "times": 4}
    assert "hunter2" not in json.dumps(found)
    other = app_of()
    do(other, "open", content["value"])
    assert other.form.values()["times"] == 4
    # Both fields are empty now, and say why.
    fields = other.form.fields.fields
    assert "Please choose it again" in fields["photo"]._error.value
    assert "Please enter it again" in fields["key"]._error.value
    assert fields["name"]._error.value == ""
    fields["photo"].set(photo)
    other.form.context.on_user_event()
    assert "em-outdated" in fields["photo"]._error._dom_classes
    app.close()
    other.close()


def test_a_link_with_everything_in_it_says_nothing():
    app = app_of()
    app.form.fill({"name": "Ada"})
    do(app, "link")
    content = app.heard[-1][0]  # type: ignore[attr-defined]
    assert content["message"] == "Link copied"
    do(app, "open", content["value"])
    assert not app.form.context.invalid
    app.close()


@pytest.mark.parametrize("note", [7, [7], [["photo"]], [["nosuch", "file"]], [["photo", "x"]],
                                  [[["photo"], "file"]], {"photo": "file"}])  # fmt: skip
def test_a_note_that_is_none_marks_nothing(note):
    app = app_of()
    do(app, "restore", json.dumps({"name": "Ada", permalinks.NOTE: note}))
    assert app.form.values()["name"] == "Ada" and not app.form.context.invalid
    app.close()


def test_what_is_too_long_for_a_link_says_so():
    app = app_of()
    app.form.fill({"name": "".join(chr(0x4E00 + at * 37 % 20000) for at in range(9000))})
    do(app, "link")
    assert app.heard[-1][0] == {"action": "message", "value": "Input too long for a link"}  # type: ignore[attr-defined]
    app.close()


@pytest.mark.parametrize("code", ["", "!!", "eJw", "x" * 5000, "eNpjYGBgAAAABAAB"])
def test_a_link_that_is_none_changes_nothing(code):
    app = app_of(values={"name": "Ada"})
    do(app, "open", code)
    assert app.form.values()["name"] == "Ada"
    app.close()


def test_a_link_that_unfolds_to_too_much_is_not_read():
    import base64
    import zlib

    bomb = zlib.compress(b'{"name": "' + b"a" * 50_000_000 + b'"}', 9)
    assert permalinks.decode(base64.urlsafe_b64encode(bomb).decode()) is None


def test_a_draft_keeps_names_of_uploads_and_comes_back():
    app = app_of(uploads=UploadSettings("/easymlnb/uploads", "easymlnb-pass x"))
    app.form.fill({"name": "Ada", "key": "hunter2", "photo": {"upload": "abc", "name": "a.png"}})
    do(app, "draft")
    kept = app.heard[-1][0]["value"]  # type: ignore[attr-defined]
    assert json.loads(kept) == {
        "name": "Ada", "times": 1, "photo": {"upload": "abc", "name": "a.png"},
        permalinks.NOTE: [["key", "secret"]],
    }  # fmt: skip
    other = app_of(uploads=UploadSettings("/easymlnb/uploads", "easymlnb-pass x"))
    do(other, "restore", kept)
    assert other.form.values()["photo"] == {"upload": "abc", "name": "a.png"}
    app.close()
    other.close()


def test_a_result_is_saved_with_its_input_and_request():
    app = app_of()
    do(app, "download")
    assert app.heard[-1][0]["value"] == "No result to save"  # type: ignore[attr-defined]
    ran(app, name="Ada", key="hunter2")
    do(app, "download")
    content, (data,) = app.heard[-1]  # type: ignore[attr-defined]
    assert content["name"].startswith("greet-")
    saved = json.loads(data)
    assert saved["input"] == {"name": "Ada", "times": 1, "photo": None}
    assert saved["result"][0]["data"] == "Hello Ada! "
    assert saved["request_id"]
    app.close()


@pytest.mark.parametrize("layout", [None, {"column": [{"part": "code"}]}])
def test_visitors_without_a_login_see_no_code_with_a_token(layout):
    def texts(widget):
        yield getattr(widget, "value", "")
        for child in getattr(widget, "children", ()):
            yield from texts(child)

    service = define(greet, title="Greeter")
    spec = msgspec.structs.replace(service.spec, app=layout)
    for public in (True, False):
        app = AppPage(spec, LocalCaller(service), base="/base/easymlnb/", public=public)
        do(app, "origin", "https://hub.example.org")
        assert any("TOKEN" in str(text) for text in texts(app.widget)) is not public
        app.close()


def test_the_code_names_the_address_that_the_visitor_sees():
    app = app_of(values={"name": "Ada"})
    do(app, "origin", "https://hub.example.org")
    assert (
        "https://hub.example.org/base/easymlnb/services/greet/call"
        in app.form.code_panel.widget.value
    )
    do(app, "origin", "javascript:alert(1)")
    assert "javascript:alert" not in app.form.code_panel.widget.value
    app.close()


@pytest.mark.parametrize(
    "said", [None, 7, [], {"action": 7}, {"action": "run"}, {"action": "show", "value": {}},
             {"action": "example", "value": "99"}, {"action": "example", "value": "-1"},
             {"action": "show", "value": "1"}, {"action": "restore", "value": "[1]"},
             {"action": "restore", "value": '{"name": {"b64": 7}}'}],
)  # fmt: skip
def test_nonsense_from_a_page_changes_nothing(said):
    app = app_of(values={"name": "Ada"})
    app.form.script.on_message(said, [])
    assert not app.form.busy
    app.close()


def test_closing_frees_every_model_whatever_was_done():
    before = set(_instances)
    app = app_of()
    ran(app, name="Ada")
    ran(app, name="Bo")
    do(app, "compare", "1")
    do(app, "show", "1")
    assert len(_instances) > len(before)
    app.close()
    assert set(_instances) == before


def test_widgets_of_a_page_share_one_layout():
    before = len(_instances)
    app = app_of()
    kinds = [type(one).__name__ for one in _instances.values()]
    assert len(_instances) - before < 60
    assert kinds.count("Layout") <= 1 + before
    app.close()


def test_history_forgets_old_runs_and_large_results_first():
    service = define(greet)
    history = History(service.spec)
    large = [{"kind": "text", "title": "", "data": "x" * (MAX_SIZE // 3)}]
    for at in range(MAX_RUNS + 5):
        history.add(ended({"name": f"n{at}"}, Succeeded(large, 0.1, "r")))
    assert len(history.runs) == MAX_RUNS
    kept = [run for run in history.runs if run.parts is not None]
    assert 0 < len(kept) < 4
    assert history.runs[0].parts is not None
    assert history.runs[-1].values["name"] == "n5"


def test_what_failed_is_in_the_history_in_words():
    history = History(define(greet).spec)
    history.add(
        ended(
            {"name": "<b>x</b>", "key": "hunter2"},
            Failed(from_code("busy", "Too <i>busy</i>", None, "")),
            seconds=2.5,
        )
    )
    shown = history.html()
    assert "Failed" in shown and "after 2.50 s" in shown
    assert "Too &lt;i&gt;busy" in shown
    assert "&lt;b&gt;x" in shown
    assert "hunter2" not in shown


def test_a_stopped_stream_keeps_what_came_until_then():
    history = History(define(greet).spec)
    pieces = [[{"kind": "text", "data": word}] for word in ("one ", "two")]
    run = history.add(ended({}, Failed(CallCancelled()), seconds=90.0, items=pieces, count=2))
    assert run.parts == [{"kind": "text", "data": "one two"}]
    shown = history.html()
    for words in ("Stopped", "after 90.00 s", "2 items streamed before it stopped", "one two"):
        assert words in shown
    assert "Failed" not in shown


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2.5, "x"], "1, 2.5, x"),
        ([], "empty list"),
        ([1, 2, 3, 4, 5], "5 entries: 1, 2, 3, 4, \u2026"),
        ([[1, 2], [3, 4]], "1, 2; 3, 4"),
        ({"a_b": True, "c": None}, "a b yes, c none"),
        ([{"x": 1}, {"x": 2}], "x 1; x 2"),
        ({}, "empty"),
        ({"name": "a.png", "b64": "eA=="}, "a.png"),
        ("two\nlines", "two lines"),
    ],
)
def test_values_are_said_without_brackets_and_quotes(value, said):
    assert short(value) == said


def test_values_that_differ_far_behind_are_compared():
    app = app_of()
    ran(app, name="a" * 200 + "x")
    ran(app, name="a" * 200 + "y")
    do(app, "compare", "1")
    assert "same input" not in app._comparison.children[0].children[0].value
    app.close()


def test_the_history_comes_back_after_a_reload_without_secrets_and_files():
    app = app_of()
    photo = {"name": "a.png", "media_type": "image/png", "b64": "eA=="}
    ran(app, name="Ada", key="hunter2", photo=photo)
    ran(app, name="Bo", times=2)
    kept = next(
        content["value"]
        for content, _ in reversed(app.heard)  # type: ignore[attr-defined]
        if content["action"] == "history"
    )
    assert "hunter2" not in kept and "eA==" not in kept
    other = app_of()
    do(other, "history", kept)
    do(other, "history", kept)
    assert other._runs.value.count("<li") == 2
    do(other, "show", "2")
    assert "Hello Bo! Hello Bo!" in shown(other)
    assert other.form.values()["times"] == 2
    # It is not run without the file that it was run with.
    do(other, "again", "1")
    assert not other.form.busy
    assert "Please choose it again" in other.form.fields.fields["photo"]._error.value
    ran(other, name="Cy")
    assert [run.number for run in other._history.runs] == [3, 2, 1]
    app.close()
    other.close()


def test_what_a_browser_keeps_is_bounded_and_results_go_first():
    service = define(greet)
    history = History(service.spec)
    for at in range(MAX_RUNS):
        parts = [{"kind": "text", "title": "", "data": "x" * (MAX_STORED // 6)}]
        history.add(ended({"name": f"n{at}"}, Succeeded(parts, 0.1, "r")))
    kept = history.to_json()
    assert len(kept) <= MAX_STORED + MAX_RUNS
    back = History(service.spec)
    back.restore(kept)
    assert len(back.runs) == MAX_RUNS
    assert back.runs[0].parts is not None and back.runs[-1].parts is None


@pytest.mark.parametrize(
    "kept",
    ["", "7", "{}", "[7]", "[null, {}]", "[" * 100_000, '[{"at": "x"}]',
     '[{"at": "2026-01-01", "values": [], "seconds": "y"}]'],
)  # fmt: skip
def test_a_history_that_is_none_changes_nothing(kept):
    history = History(define(greet).spec)
    history.restore(kept)
    assert history.runs == []


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Waiting(3, 12.0), "In the queue: 3 ahead of you, about 12 s"),
        (Waiting(0), "Waiting"),
        (Waiting(state="starting"), "The service is starting"),
        (
            Waiting(1, 9.0, "starting", "Pending in queue..."),
            "The service is starting, about 9 s. Pending in queue...",
        ),
        (
            Waiting(state="asleep", seconds=8.0),
            "The service was asleep and is starting, about 8 s",
        ),
    ],
)
def test_waiting_says_why_and_how_long(told, words):
    assert waiting_text(told) == words


def test_a_call_in_line_shows_its_place():
    class Queued:
        def start(self, values: Any, on: Any) -> Any:
            on(Waiting(2, 5.0))
            self.on = on
            return self

        def stop(self) -> None:
            self.on(Succeeded([], 0.0, "r"))

    caller = Queued()
    app = AppPage(define(greet).spec, caller, base="/easymlnb/", values={"name": "Ada"})
    app.form.run()
    deadline = time.monotonic() + PATIENCE
    while "2 ahead of you" not in app.form.run_bar._text.value:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    app.form.stop()
    app.form.wait(PATIENCE)
    assert not app.form.busy
    app.close()


@pytest.mark.parametrize(
    "raw", ["[" * 50_000, '{"a":' * 2000, '{"a":' * 60 + "1" + "}" * 60, "3", "nothing"]
)
def test_what_is_no_draft_of_a_form_changes_nothing(raw):
    app = app_of()
    app.form.fill({"name": "Ada"})
    do(app, "restore", raw)
    assert app.form.values()["name"] == "Ada"
    assert permalinks.read(raw) is None


def test_much_that_was_typed_is_neither_kept_nor_linked():
    spec = define(greet).spec
    for value in (["a"] * 40_000, "a" * 200_000):
        assert permalinks.draft(spec, {"name": value}) == ""
        assert permalinks.encode(spec, {"name": value}) is None
    assert permalinks.draft(spec, {"name": "Ada"}) == '{"name": "Ada"}'


def test_long_values_are_left_out_of_the_code():
    app = app_of()
    app.form.fill({"name": "Ada" * 10_000})
    do(app, "origin", "http://localhost")
    assert len(app.form.code_panel.widget.value) < 10_000
    assert "too long to be shown here" in app.form.code_panel.widget.value
