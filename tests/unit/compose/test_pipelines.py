"""Several functions as one service: its signature, what goes from step to step, its mistakes."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import numpy as np
import pandas as pd
import pydantic
import pytest

import easymlnb as ml
from easymlnb.compose.hint_compat import format_hint, is_assignable
from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.worker_protocol import Call, Failure, Progress
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import SERVICES
from support.call_sink import Sink


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """Leave the table of services as it was."""
    before = dict(SERVICES)
    yield
    SERVICES.clear()
    SERVICES.update(before)


def cut(text: str, upper: bool = False) -> list[str]:
    """Cut a text into words.

    Args:
        text: What to cut.
        upper: In capitals.
    """
    return (text.upper() if upper else text).split()


def count(words: list[str], factor: int = 1) -> int:
    """Count words.

    Args:
        factor: What each one counts.

    Returns:
        How many there are.
    """
    return len(words) * factor


def longest(words: list[str]) -> str:
    return max(words, key=len)


def report(n: int, word: str) -> str:
    return f"{n} words, longest {word}"


def perform(function: Any, body: bytes = b"{}", **more: Any) -> tuple[Any, bytes, list[Any]]:
    sink = Sink()
    call = Call(id=1, service=function.service.name, **more)
    ThreadCallRunner(2).submit(function.service, call, body, sink)
    message, data = sink.end()
    return message, data, sink.events


# signature and schema


def test_it_calls_one_after_another() -> None:
    made = ml.pipeline(cut, count)
    assert (made("a b c"), made(text="a b", upper=True)) == (3, 2)
    assert made.__name__ == made.service.name == "cut_count"
    assert SERVICES["cut_count"] is made.service


def test_signature_is_of_the_first_step_and_the_last() -> None:
    made = ml.pipeline(cut, count, name="counted", title="Counted", examples=[{"text": "a"}])
    assert str(inspect.signature(made)) == "(text: str, upper: bool = False) -> int"
    spec = made.service.spec
    assert (spec.name, spec.title, spec.examples) == ("counted", "Counted", ({"text": "a"},))
    assert (spec.input["required"], spec.output["type"]) == (["text"], "integer")
    with pytest.raises(TypeError, match="missing a required argument: 'text'"):
        made()


def test_texts_come_from_the_steps() -> None:
    spec = ml.pipeline(cut, count).service.spec
    assert spec.description == (
        "cut → count\n\n- **cut**: Cut a text into words.\n- **count**: Count words."
    )
    assert spec.input["properties"]["text"]["description"] == "What to cut."
    assert spec.output["description"] == "How many there are."
    assert ml.pipeline(cut, count, description="Own.").service.spec.description == "Own."


def test_parameters_of_later_steps_are_exposed_when_named() -> None:
    made = ml.pipeline(cut, count, expose=["factor"])
    assert made("a b", factor=5) == 10
    properties = made.service.spec.input["properties"]
    assert properties["factor"]["default"] == 1
    assert properties["factor"]["description"] == "What each one counts."
    assert ml.pipeline(cut, count).service.spec.input["properties"].keys() == {"text", "upper"}


def test_calls_answer_as_of_any_service() -> None:
    made = ml.pipeline(cut, ml.gather(n=count, word=longest), report, name="told")
    _, data, _ = perform(made, b'{"text": "a bbb"}')
    assert data == b'"2 words, longest bbb"'
    message, _, _ = perform(made, b'{"text": 1}')
    assert message.code == "invalid_input"


def test_view_works() -> None:
    made = ml.pipeline(cut, count)

    @made.view
    def seen(text: str, result: int) -> str:
        return f"{text}: {result}"

    _, data, _ = perform(made, b'{"text": "a b"}', view=True)
    assert b'"a b: 2"' in data


# from step to step


class Typed(TypedDict):
    n: int
    word: str


class Tuple(NamedTuple):
    n: int
    word: str


@dataclass
class Data:
    n: int
    word: str


class Model(pydantic.BaseModel):
    n: int
    word: str


def typed(x: int) -> Typed:
    return {"n": x, "word": "w"}


def named(x: int) -> Tuple:
    return Tuple(x, "w")


def data(x: int) -> Data:
    return Data(x, "w")


def model(x: int) -> Model:
    return Model(n=x, word="w")


def loose(x: int) -> dict[str, Any]:
    return {"n": x, "word": "w"}


def unhinted(x):  # type: ignore[no-untyped-def]
    return Data(x, "w")


@pytest.mark.parametrize("first", [typed, named, data, model, loose, unhinted])
def test_results_go_by_name(first: Callable[..., Any]) -> None:
    assert ml.pipeline(first, report)(2) == "2 words, longest w"


def whole(given: Data, note: str = "") -> int:
    return given.n


def anything(given: Any) -> str:
    return type(given).__name__


def test_results_go_as_a_whole() -> None:
    assert ml.pipeline(data, whole)(3) == 3
    assert [ml.pipeline(one, anything)(1) for one in (data, loose)] == ["Data", "dict"]


@pytest.mark.parametrize("result", [{"n": 1}, {"n": 1, "word": "", "more": 2}, 5])
def test_names_that_are_only_known_late_are_checked_then(result: Any) -> None:
    def late() -> Any:
        return result

    with pytest.raises(TypeError, match=r"by name|result of the previous step") as caught:
        ml.pipeline(late, report)()
    assert caught.value.__notes__ == ["In step 2 'report' of 'late_report'."]


# mistakes


def frame() -> pd.DataFrame:
    return pd.DataFrame()


def array(x: np.ndarray) -> int:
    return len(x)


def nothing() -> None: ...


def needs_two(n: int, other: str) -> int:
    return n


def wrong_field(n: int, word: int) -> int:
    return n


def stream(n: int) -> Iterator[int]:
    yield from range(n)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((frame, array), "step 2 'array' expects ndarray, but step 1 'frame' returns DataFrame."),
        ((cut, array), "step 2 'array' expects ndarray, but step 1 'cut' returns list[str]."),
        ((nothing, array), "step 2 'array' expects ndarray, but step 1 'nothing' returns None."),
        (
            (cut, nothing),
            "step 2 'nothing' has no parameters, so it cannot receive the result of step 1 'cut'.",
        ),
        ((data, needs_two), "requires n, other, but step 1 'data' returns n, word."),
        ((cut, report), "requires n, word, but step 1 'cut' returns one list[str]."),
        (
            (data, wrong_field),
            "step 2 'wrong_field' expects int as 'word', but step 1 'data' returns str as 'word'.",
        ),
        ((stream, anything), "step 1 'stream' is a generator. Only the last step"),
        ((cut, lambda x: x), "A lambda has no name"),
        ((), "A pipeline needs at least one step"),
    ],
)
def test_mistakes_are_found_at_once(steps: tuple[Any, ...], said: str) -> None:
    before = dict(SERVICES)
    with pytest.raises(DefinitionError) as caught:
        ml.pipeline(*steps, name="wrong")
    assert said in caught.value.message
    assert before == SERVICES


@pytest.mark.parametrize(
    ("expose", "said"),
    [
        ("factor", "must be a list"),
        (["upper"], "step 1 'cut' already has the parameter 'upper'"),
        (["words"], "no later step has a parameter 'words' with a default"),
        (["nonsense"], "no later step"),
    ],
)
def test_exposing_what_is_not_there(expose: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        ml.pipeline(cut, count, expose=expose)


def test_exposing_what_two_steps_have() -> None:
    def again(n: int, factor: int = 1) -> int:
        return n

    with pytest.raises(DefinitionError, match="step 2 'count' and step 3 'again' has a parameter"):
        ml.pipeline(cut, count, again, expose=["factor"])


def test_a_service_cannot_contain_itself() -> None:
    inner = ml.pipeline(cut, count, name="inner")
    outer = ml.pipeline(inner, anything, name="outer")
    for step in (inner, outer):
        with pytest.raises(DefinitionError, match="'inner' cannot contain itself"):
            ml.pipeline(step, anything, name="inner")
    with pytest.raises(DefinitionError, match="cannot contain itself"):
        ml.gather(a=inner, name="inner")


# gather


def test_gather_gives_all_the_same_and_returns_by_name() -> None:
    made = ml.gather(n=count, word=longest)
    assert made(["a", "bb"]) == {"n": 2, "word": "bb"}
    assert str(inspect.signature(made).parameters["factor"]) == "factor: int = 1"
    spec = made.service.spec
    assert (spec.name, spec.input["required"]) == ("n_word", ["words"])
    assert spec.output["properties"]["n"]["type"] == "integer"
    assert perform(made, b'{"words": ["a"]}')[1] == b'{"n":1,"word":"a"}'


def test_needed_parameters_come_first() -> None:
    def other(words: list[str], last: int) -> int:
        return last

    made = ml.gather(n=count, other=other)
    assert list(inspect.signature(made).parameters) == ["words", "last", "factor"]
    assert made(["a"], 4) == {"n": 1, "other": 4}


def low(x: Annotated[float, ml.Slider(0, 1)]) -> float:
    return x


def high(x: Annotated[float, ml.Slider(0, 10)]) -> float:
    return x


def text(x: str) -> str:
    return x


def zero(k: int = 0) -> int:
    return k


def one(k: int = 1) -> int:
    return k


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a": low, "b": text}, "'x' is float {'maximum': 1, 'minimum': 0} in 'a', but str in 'b'"),
        ({"a": low, "b": high}, "'maximum': 10"),
        ({"a": zero, "b": one}, "'k' is = 0 in 'a', but = 1 in 'b'"),
        ({"a": stream}, "'a' is a generator"),
        ({}, "gather needs functions"),
    ],
)
def test_members_that_do_not_agree(members: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        ml.gather(**members)
    assert said in caught.value.message


def test_members_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)

    def left() -> int:
        return both.wait()

    def right() -> int:
        return both.wait()

    made = ml.gather(a=left, b=right)
    assert sorted(made().values()) == [0, 1]
    assert sorted(perform(made)[1]) == sorted(b'{"a":0,"b":1}')


def test_members_run_in_turn_when_asked_to() -> None:
    def where() -> int:
        return threading.get_ident()

    assert set(ml.gather(a=where, b=where, concurrent=False)().values()) == {where()}


def test_prints_of_members_are_in_the_log_of_the_call() -> None:
    def chatty() -> int:
        print("said")
        return 1

    assert perform(ml.gather(a=chatty, b=chatty))[0].log.count("said\n") == 2


def test_error_of_a_member_stops_the_others() -> None:
    running, stopped = threading.Event(), threading.Event()

    def endless() -> int:
        running.set()
        try:
            while True:
                pass
        finally:
            stopped.set()

    def broken() -> int:
        running.wait(20)
        raise KeyError("k")

    with pytest.raises(KeyError) as caught:
        ml.gather(a=endless, b=broken)()
    assert caught.value.__notes__ == ["In 'b' of 'a_b'."]
    assert stopped.wait(20)


def test_cancelled_call_stops_its_members() -> None:
    running, stopped = threading.Semaphore(0), threading.Semaphore(0)

    def endless() -> int:
        running.release()
        try:
            while True:
                pass
        finally:
            stopped.release()

    made: Any = ml.gather(a=endless, b=endless)
    threads, sink = ThreadCallRunner(2), Sink()
    threads.submit(made.service, Call(id=1, service="a_b"), b"{}", sink)
    assert running.acquire(timeout=20)
    assert running.acquire(timeout=20)
    threads.cancel(1)
    assert sink.end()[0].code == "cancelled"
    assert stopped.acquire(timeout=20)
    assert stopped.acquire(timeout=20)


# async, streams, nesting


async def slow(n: int) -> int:
    await asyncio.sleep(0)
    ml.progress(0.5, "slow")
    return n + 1


def test_async_steps_are_awaited() -> None:
    made = ml.pipeline(slow, slow, name="slowly")
    assert made(1) == 3
    assert perform(made, b'{"n": 1}')[1] == b"3"
    assert ml.gather(a=slow, b=slow)(1) == {"a": 2, "b": 2}


def test_plain_call_works_in_a_running_loop() -> None:
    made = ml.pipeline(slow, slow, name="slowly")

    async def cell() -> int:
        return made(1)

    assert asyncio.run(cell()) == 3


def test_waiting_for_oneself_is_refused() -> None:
    made = ml.pipeline(slow, slow, name="slowly")

    @ml.service
    async def blocked() -> int:
        return made(1)

    message, _, _ = perform(blocked)
    assert "would wait for itself" in message.trace


async def stream_async(n: int) -> AsyncIterator[int]:
    for at in range(n):
        yield at


@pytest.mark.parametrize("last", [stream, stream_async])
def test_last_step_may_stream(last: Callable[..., Any]) -> None:
    made = ml.pipeline(slow, last, name="streamed")
    assert list(made(2)) == [0, 1, 2]
    assert (made.service.spec.stream, made.service.spec.output["type"]) == (True, "integer")
    message, _, events = perform(made, b'{"n": 1}')
    assert (len(events), message.content_type) == (2, "application/json")


def test_nested() -> None:
    inner = ml.pipeline(cut, ml.gather(n=count, word=longest), name="inner")
    outer = ml.pipeline(inner, report, name="outer")
    assert outer("a bb") == "2 words, longest bb"
    assert str(inspect.signature(outer)) == "(text: str, upper: bool = False) -> str"
    ways = ml.gather(a=outer, b=ml.pipeline(cut, count), name="ways")
    assert ways("a bb") == {"a": "2 words, longest bb", "b": 2}


def test_services_are_steps() -> None:
    first, last = ml.service(cut), ml.service(name="total")(count)
    try:
        assert ml.pipeline(first, last, name="both")("a b") == 2
    finally:
        del first.service, last.service  # they are the very functions of the other tests


# progress and errors


def half(x: int) -> int:
    ml.progress(0.5, "half")
    return x


def done(x: int) -> int:
    ml.progress(1, "done")
    return x


def fractions(function: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setattr("easymlnb.runtime.context.PROGRESS_EVERY", 0)
    events = perform(function, b'{"x": 1}', progress=True)[2]
    return [event.fraction for event in events if isinstance(event, Progress)]


def test_progress_is_scaled_to_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = ml.pipeline(half, done, name="inner")
    assert fractions(inner, monkeypatch) == [0.25, 1.0]
    assert fractions(ml.pipeline(half, inner, name="outer"), monkeypatch) == [0.25, 0.625, 1.0]


def test_progress_of_members_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ml.gather(a=half, b=half)
    assert fractions(made, monkeypatch)[-1] in (0.5, 0.75)
    made = ml.gather(a=half, b=done, concurrent=False)
    assert fractions(made, monkeypatch) == [0.25, 1.0]


def test_progress_of_a_streaming_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def items(x: int) -> Iterator[int]:
        ml.progress(0.5)
        yield x

    assert fractions(ml.pipeline(half, items), monkeypatch) == [0.25, 0.75]


def test_error_names_its_step_and_begins_in_it() -> None:
    def broken(n: int) -> int:
        raise ValueError("secret")

    message, _, _ = perform(ml.pipeline(cut, count, broken, name="three"), b'{"text": "a"}')
    assert (message.code, "secret" in message.message) == ("call_failed", False)
    lines = message.trace.splitlines()
    assert lines[1].endswith("in broken")
    assert lines[-2:] == ["ValueError: secret", "In step 3 'broken' of 'three'."]


def test_caller_errors_pass_through() -> None:
    def refuse(n: int) -> int:
        raise ml.CallerError("Send more.")

    message, _, _ = perform(ml.pipeline(cut, count, refuse), b'{"text": "a"}')
    assert isinstance(message, Failure)
    assert (message.code, message.message) == ("caller_error", "Send more.")


def test_error_in_a_stream_names_its_step() -> None:
    def items(n: int) -> Iterator[int]:
        yield n
        raise ValueError("late")

    message, _, events = perform(ml.pipeline(slow, items), b'{"n": 1}')
    assert len(events) == 1
    assert message.trace.splitlines()[-1] == "In step 2 'items' of 'slow_items'."


# which hints fit


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        (int, int, True),
        (bool, int, True),
        (int, float, True),
        (float, int, False),
        (np.float64, float, True),
        (str, Literal["a", "b"], True),
        (Literal[1, 2], str, False),
        (int | None, int, True),
        (None, int, False),
        (int, int | str, True),
        (bytes, int | str, False),
        (list[int], list[int], True),
        (list[int], list[str], False),
        (list, list[str], True),
        (tuple[int, ...], tuple[str, ...], False),
        (Typed, dict, True),
        (Data, Typed, False),
        (Any, np.ndarray, True),
        (Annotated[float, ml.Slider(0, 1)], float, True),
        (Annotated[float, ml.Slider(0, 1)], str, False),
        (ml.LongText, str, True),
        (ml.LongText, int, False),
        (list[Annotated[np.ndarray, ml.Image()]], list[np.ndarray], True),
        (pd.Series, np.ndarray, False),
        (Iterator[int], list[int], False),
    ],
)
def test_fits(given: Any, wanted: Any, expected: bool) -> None:
    assert is_assignable(given, wanted) is expected


def test_hints_are_shown_as_written() -> None:
    hints = [np.ndarray, list[pd.DataFrame], int | None, Annotated[float, 1], ml.Slider(0, 1)]
    assert [format_hint(hint) for hint in hints] == [
        "ndarray", "list[DataFrame]", "int | None", "float", "Slider",
    ]  # fmt: skip
