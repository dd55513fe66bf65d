"""Whatever a function prints, raises or returns: its call is answered, and can be sent."""

import json
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, field_serializer

import easymlnb as ml
from easymlnb.contract.spec import Batch
from easymlnb.contract.worker_protocol import Call, Failure, Message, Result, pack, unpack_to_server
from easymlnb.runtime.batch_execution import run_batch
from easymlnb.runtime.call_execution import run_call
from easymlnb.services.definition import define
from easymlnb.types.base import Type

LONE = "\ud83d"
NAME = "caf\udce9.txt"
"""What ``os.listdir`` makes of a name that is not UTF-8."""


def run(
    function: Callable[..., Any], accept: str = "", view: bool = False, **values: Any
) -> tuple[Any, bytes, list[tuple[Message, bytes]]]:
    """Return a call's end and body, and what else it sent, as the server gets them."""
    service = define(function, name="f")
    sent: list[bytes] = []
    call = Call(id=1, service="f", accept=accept, view=view, progress=True)
    ended = run_call(
        service, call, json.dumps(values).encode(), lambda *one: sent.append(pack(*one))
    )
    events = [frame for data in sent for frame in unpack_to_server(data)]
    ((end, body),) = unpack_to_server(pack(*ended))
    return end, body, events


def failure(function: Callable[..., Any], **values: Any) -> Failure:
    end, _, _ = run(function, **values)
    assert isinstance(end, Failure)
    return end


def _one() -> int:
    return 1


# what is said


def test_lone_surrogates_in_prints_are_escaped_in_the_log() -> None:
    def f() -> int:
        print("name:", LONE, NAME)
        print("to stderr", LONE, file=sys.stderr)
        sys.stdout.write(LONE + "\n")
        ml.progress(0.5, f"reads {NAME}")
        return 1

    end, body, events = run(f)
    assert body == b"1"
    assert end.log == "name: \\ud83d caf\\udce9.txt\nto stderr \\ud83d\n\\ud83d\n"
    assert events[0][0].text == "reads caf\\udce9.txt"


def test_what_is_no_text_cannot_be_written_to_a_stream() -> None:
    class Loud(str):
        def __getitem__(self, key: Any) -> Any:
            raise RuntimeError("asked")

    def f(wrong: bool) -> int:
        sys.stdout.write(b"bytes" if wrong else Loud("loud"))  # type: ignore[arg-type]
        return 1

    end, body, _ = run(f, wrong=False)
    assert (body, end.log) == (b"1", "loud")
    wrong = failure(f, wrong=True)
    assert wrong.code == "call_failed"
    assert "write() argument must be str, not bytes" in wrong.trace


# what is raised


class Plain(Exception):
    pass


class TextRaises(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class TextIsNone(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]

    __repr__ = __str__


class NotesRaise(Exception):
    @property
    def __notes__(self) -> Any:
        raise KeyError("notes")


class Nameless(type):
    @property
    def __name__(cls) -> str:
        raise KeyError("name")


class Unnamed(Exception, metaclass=Nameless):
    pass


class ClassRaises(Exception):
    @property
    def __class__(self) -> Any:
        raise KeyError("class")


def _chain() -> BaseException:
    error: BaseException = Plain("first")
    for at in range(3000):
        after = Plain(at)
        after.__context__ = error
        error = after
    return error


ERRORS: list[tuple[Callable[[], BaseException], str]] = [
    (lambda: Plain(LONE), "Plain"),
    (lambda: ExceptionGroup(LONE, [Plain(LONE), ExceptionGroup("in", [TextRaises()])]), "Group"),
    (lambda: BaseExceptionGroup("all", [KeyboardInterrupt(), Plain()]), "BaseExceptionGroup"),
    (lambda: TextRaises("x"), "TextRaises"),
    (lambda: TextIsNone("x"), "TextIsNone"),
    (lambda: NotesRaise("x"), "NotesRaise"),
    (lambda: Unnamed("x"), "Unnamed"),
    (lambda: ClassRaises("x"), "ClassRaises"),
    (lambda: SystemExit(LONE), "SystemExit"),
    (lambda: KeyboardInterrupt(), "KeyboardInterrupt"),
    (lambda: StopIteration(1), "StopIteration"),
    (lambda: GeneratorExit(), "GeneratorExit"),
    (lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, LONE), "UnicodeDecodeError"),
    (lambda: FileNotFoundError(2, "none", NAME), "FileNotFoundError"),
    (_chain, "Plain"),
]


@pytest.mark.parametrize(("make", "kind"), ERRORS, ids=[kind for _, kind in ERRORS])
def test_every_exception_is_a_failed_call_with_a_traceback(
    make: Callable[[], BaseException], kind: str
) -> None:
    def f() -> int:
        raise make()

    found = failure(f)
    assert found.code == "call_failed"
    assert kind in found.message
    assert "in f" in found.trace


@pytest.mark.parametrize(("make", "kind"), ERRORS, ids=[kind for _, kind in ERRORS])
def test_every_exception_in_a_stream_is_a_failed_call(
    make: Callable[[], BaseException], kind: str
) -> None:
    def f() -> Iterator[int]:
        yield 1
        raise make()

    end, _, events = run(f)
    assert len(events) == 1
    if kind == "GeneratorExit":
        return  # to Python that is the end of the stream
    assert end.code == "call_failed"
    assert "in f" in end.trace


def test_notes_with_lone_surrogates_are_in_the_traceback() -> None:
    def f() -> int:
        error = Plain("x")
        error.add_note(LONE)
        raise error

    assert "\\ud83d" in failure(f).trace


class WithoutMessage(ml.CallerError):
    code = "own_code"

    def __init__(self, number: int) -> None:
        self.number = number

    def __str__(self) -> str:
        return f"number {self.number} {LONE}"


@pytest.mark.parametrize(
    ("error", "message", "details"),
    [
        (ml.CallerError(f"no {LONE}", details={"a": [LONE], LONE: 1}), "no \\ud83d",
         {"a": ["\\ud83d"], "\\ud83d": 1}),
        (ml.CallerError(42), "42", None),  # type: ignore[arg-type]
        (ml.CallerError(Plain("why")), "why", None),  # type: ignore[arg-type]
        (ml.CallerError(TextRaises()), "cannot be displayed", None),  # type: ignore[arg-type]
        (ml.CallerError("x", details={"at": Path("/a"), "n": float("nan")}), "x",
         {"at": "/a", "n": None}),
        (ml.CallerError("x", details=object()), "x", None),
        (ml.CallerError("x", details=2**80), "x", None),
        (WithoutMessage(7), "number 7 \\ud83d", None),
    ],
)  # fmt: skip
def test_caller_error_of_any_content_reaches_the_caller(
    error: ml.CallerError, message: str, details: Any
) -> None:
    def f() -> int:
        raise error

    found = failure(f)
    assert found.code == "caller_error"
    assert message in found.message
    assert found.details == details


def test_details_that_cannot_be_sent_are_named_in_the_log() -> None:
    def f() -> int:
        raise ml.CallerError("x", details=object())

    assert "details of this error cannot be converted to JSON" in failure(f).trace


# what is returned


class Model(BaseModel):
    inner: dict[str, list[str]]


class Color(Enum):
    BAD = LONE


def _text() -> str:
    return LONE


def _names() -> list[str]:
    return ["good", NAME]


def _keys() -> dict[str, int]:
    return {LONE: 1}


def _model() -> Model:
    return Model.model_construct(inner={"a": ["x", LONE]})


def _enum() -> Color:
    return Color.BAD


def _path_in_a_dict() -> dict[str, Path]:
    return {"at": Path(NAME)}


def _html() -> ml.HTML:
    return ml.HTML(f"<b>{LONE}</b>")


def _stream() -> Iterator[list[str]]:
    yield ["good"]
    yield ["good", NAME]


PLACES = [
    (_text, "'\\ud83d'"),
    (_names, "at '1'"),
    (_keys, "at '\\\\ud83d'"),
    (_model, "at 'inner.a.1'"),
    (_enum, ""),
    (_path_in_a_dict, "at 'at'"),
    (_html, ""),
    (_stream, "at '1'"),
]


@pytest.mark.parametrize("hinted", [True, False])
@pytest.mark.parametrize(("function", "place"), PLACES)
def test_result_with_a_lone_surrogate_is_refused_with_its_place(
    function: Callable[..., Any], place: str, hinted: bool
) -> None:
    def plain():  # type: ignore[no-untyped-def]
        return function()

    if hinted and function is _enum:
        return  # refused where it is decorated
    found = failure(function if hinted or function is _stream else plain)
    assert found.code == "result_not_encodable"
    assert place in found.message
    assert found.trace


def test_figure_that_cannot_be_drawn_is_named() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")

    def f():  # type: ignore[no-untyped-def]
        figure, axes = pyplot.subplots()
        axes.set_title(LONE)
        pyplot.close(figure)
        return figure

    found = failure(f)
    assert found.code == "result_not_encodable"
    assert "cannot be drawn" in found.message


def test_number_too_long_to_be_shown_is_named() -> None:
    def f() -> int:
        return 10**5000

    end, _, _ = run(f, view=True)
    assert end.code == "result_not_encodable"


@pytest.mark.parametrize("accept", ["", "image/png"])
def test_path_that_cannot_be_read_is_named(accept: str) -> None:
    def f():  # type: ignore[no-untyped-def]
        return Path(NAME)

    end, _, _ = run(f, accept)
    assert end.code == "result_not_encodable"


@pytest.mark.parametrize("accept", ["", "text/csv", "application/json", "*/*"])
def test_table_with_a_lone_surrogate_is_refused(accept: str) -> None:
    pandas = pytest.importorskip("pandas")

    def cell():  # type: ignore[no-untyped-def]
        return pandas.DataFrame({"a": ["x", LONE]}, dtype=object)

    def column():  # type: ignore[no-untyped-def]
        return pandas.DataFrame([[1]], columns=pandas.Index([LONE], dtype=object))

    for function in (cell, column):
        end, _, _ = run(function, accept)
        assert end.code == "result_not_encodable"


def test_label_of_a_file_is_cleaned() -> None:
    def f() -> ml.File:
        return ml.File(b"x", NAME)

    end, body, _ = run(f, "application/octet-stream")
    assert isinstance(end, Result)
    assert body == b"x"
    assert end.filename.endswith(".txt")


def test_view_shows_a_lone_surrogate_escaped() -> None:
    service = define(_one, name="f")
    service.set_view(lambda result: {"text": LONE, "smile": "\U0001f600"})
    call = Call(id=1, service="f", view=True)
    _, body = run_call(service, call, b"{}", lambda *one: None)
    assert [part["data"] for part in json.loads(body)["parts"]] == ["\\ud83d", "\U0001f600"]


# what is not the function's fault


def _compiled(source: str) -> Any:
    """Compile code as if it were a file of this library's."""
    scope: dict[str, Any] = {}
    exec(compile(source, str(Path(ml.__file__).parent / "types" / "broken.py"), "exec"), scope)
    return scope["found"]


DEFECT = """
from easymlnb.types.base import Type

class Broken(Type):
    writes = ("text/broken",)

    def decode(self, value, source):
        return {}[value] if value == "bad" else value

    def encode(self, value):
        return {}[value]

    def offers(self, value):
        return {}[value] if value == "offers" else self.writes

    def write(self, value, media_type):
        return {}[value]

    def parts(self, value, title):
        return {}[value]

found = Broken
"""

Ours = _compiled(DEFECT)


def _defect_of(found: Failure) -> None:
    assert found.code == "internal_error"
    assert "KeyError" in found.message
    assert "not in the service's function" in found.message
    assert "broken.py" in found.trace


def test_defect_while_reading_is_not_the_functions_fault() -> None:
    def f(x: Annotated[str, Ours()]) -> int:
        return 1

    _defect_of(failure(f, x="bad"))
    assert run(f, x="good")[1] == b"1"


@pytest.mark.parametrize("accept", ["text/broken", "text/broken, text/plain"])
@pytest.mark.parametrize("value", ["x", "offers"])
def test_defect_while_writing_is_not_the_functions_fault(accept: str, value: str) -> None:
    def f() -> Annotated[str, Ours()]:
        return value

    end, _, _ = run(f, accept)
    _defect_of(end)


def test_defect_while_a_view_is_made_is_not_the_functions_fault() -> None:
    def f() -> Annotated[str, Ours()]:
        return "x"

    end, _, _ = run(f, view=True)
    assert end.code in ("internal_error", "result_not_encodable")


def test_defect_in_a_batch_is_not_the_functions_fault() -> None:
    def f(x: ml.Batched[Annotated[str, Ours()]]) -> list[int]:
        return [1 for _ in x]

    service = define(f, batch=Batch())
    members = [
        (Call(id=at, service="f"), json.dumps({"x": value}).encode())
        for at, value in enumerate(("good", "bad", "good"))
    ]
    ends = run_batch(service, members, lambda *one: None, lambda calls: _nothing())
    assert [type(end) for end, _ in ends] == [Result, Failure, Result]
    _defect_of(ends[1][0])  # type: ignore[arg-type]


def test_defect_of_the_runtime_itself_costs_no_more_than_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*anything: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr("easymlnb.runtime.batch_execution.run_call", broken)
    service = define(_one, name="f")
    members = [(Call(id=at, service="f"), b"{}") for at in range(2)]
    ends = run_batch(service, members, lambda *one: None, lambda calls: _nothing())
    assert [(end.id, end.code) for end, _ in ends] == [(0, "internal_error"), (1, "internal_error")]


def test_validator_of_the_author_is_the_authors_fault() -> None:
    def check(value: int) -> int:
        return {1: 2}[value]

    def f(x: Annotated[int, AfterValidator(check)]) -> int:
        return x

    found = failure(f, x=3)
    assert (found.code, "KeyError" in found.message) == ("call_failed", True)
    assert "in check" in found.trace


def test_serializer_of_the_author_is_named_as_the_results_fault() -> None:
    class Own(BaseModel):
        x: int

        @field_serializer("x")
        def write(self, value: int) -> int:
            return {1: 2}[value]

    def f() -> Own:
        return Own(x=3)

    assert failure(f).code == "result_not_encodable"


def test_type_of_the_author_that_writes_no_bytes_is_named() -> None:
    class Odd(Type):
        writes = ("text/odd",)

        def write(self, value: Any, media_type: str) -> Any:
            return "text"

    def f() -> Annotated[str, Odd()]:
        return "x"

    end, _, _ = run(f, "text/odd")
    assert end.code == "result_not_encodable"
    assert "Odd.write() returned an unexpected value of type str" in end.message


class _nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def test_frame_takes_any_text() -> None:
    found = Failure(id=1, code=LONE, message=LONE, details={"a": [LONE, (LONE,)]})
    ((back, body),) = unpack_to_server(pack(found, b"body"))
    assert isinstance(back, Failure)
    assert (back.message, back.details, body) == (
        "\\ud83d", {"a": ["\\ud83d", ["\\ud83d"]]}, b"body",
    )  # fmt: skip
