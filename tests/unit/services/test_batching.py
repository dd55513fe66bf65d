"""Batched services: what callers see of them, and what one run of the function answers."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pytest

import easymlnb as ml
from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.spec import VIEW, ServiceSpec
from easymlnb.contract.worker_protocol import Call, Failure, Message, Progress, Result
from easymlnb.runtime.batch_execution import run_batch
from easymlnb.runtime.call_execution import _no_guard
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import Service, define

Array = Annotated[np.ndarray, ml.Array()]


@dataclass
class Row:
    a: float
    b: float = 2.0


def batched(function: Callable[..., Any], **options: Any) -> Service:
    return define(function, batch=ml.Batch(**options))


def run(service: Service, *bodies: Any, **more: Any) -> list[Any]:
    """Return results as values and failures as their codes."""
    return [
        json.loads(body) if isinstance(message, Result) else message.code
        for message, body in ends(service, *bodies, **more)
    ]


def ends(service: Service, *bodies: Any, **more: Any) -> list[tuple[Any, bytes]]:
    members = [
        (Call(id=number, service="f", **more), json.dumps(body).encode())
        for number, body in enumerate(bodies, 1)
    ]
    found = run_batch(service, members, lambda message, body: None, _no_guard)
    assert [message.id for message, _ in found] == [call.id for call, _ in members]  # type: ignore[attr-defined]
    return found


# what is seen of it


def test_callers_see_one_item() -> None:
    def f(rows: ml.Batched[Row], weight: ml.Batched[ml.Slider(0, 9)]) -> list[float]:  # type: ignore[valid-type]
        """Add up.

        Args:
            rows: What is added up.
        """
        return [r.a + r.b for r in rows]

    service = define(f, batch=ml.Batch(), examples=[{"rows": Row(1), "weight": 3}])
    spec = service.spec
    row, weight = spec.input["properties"]["rows"], spec.input["properties"]["weight"]
    assert row["$ref"] == "#/$defs/Row"
    assert row["description"] == "What is added up."
    assert weight["minimum"] == 0
    assert spec.output["type"] == "number"
    assert spec.examples == ({"rows": {"a": 1.0, "b": 2.0}, "weight": 3},)
    assert spec.batch == ml.Batch(max_size=64, max_wait=0.0, stack=False)
    assert ServiceSpec.from_dict(spec.to_dict()) == spec
    assert f([Row(1), Row(2)], [0, 0]) == [3, 4]


@pytest.mark.parametrize(
    ("hint", "output"),
    [(list[int], "integer"), (ml.Batched[int], "integer"), (list, None), (None, None)],  # type: ignore[misc]
)
def test_return_hint_of_one(hint: Any, output: str | None) -> None:
    def f(x):  # type: ignore[no-untyped-def]
        return x

    f.__annotations__ = {"x": ml.Batched[int]} | ({"return": hint} if hint else {})  # type: ignore[misc]
    assert batched(f).spec.output.get("type") == output


def test_refusals_say_what_to_do() -> None:
    def mixed(x: ml.Batched[int], y: int) -> list[int]:
        return x

    def default(x: ml.Batched[int] = []) -> list[int]:  # noqa: B006
        return x

    def none() -> list[int]:
        return []

    def stream(x: ml.Batched[int]) -> Iterator[int]:
        yield from x

    def wrong(x: ml.Batched[int]) -> int:
        return len(x)

    for function, told in (
        (mixed, "'y' of 'mixed' is not batched"),
        (default, "'x' of 'default' is batched and has a default"),
        (none, "no parameters to batch"),
        (stream, "generator"),
        (wrong, "one result per call"),
    ):
        with pytest.raises(DefinitionError, match=told):
            batched(function)
    with pytest.raises(DefinitionError, match=r"batch=ml.Batch\(\)"):
        define(mixed)
    with pytest.raises(DefinitionError, match="batch must be"):
        define(mixed, batch=True)
    for bad in ({"max_size": 0}, {"max_size": True}, {"max_wait": -1}, {"max_wait": float("nan")}):
        with pytest.raises(DefinitionError, match="max_"):
            ml.Batch(**bad)


# what one run answers


def test_one_run_answers_all_in_order() -> None:
    sizes = []

    def f(x: ml.Batched[int]) -> list[int]:
        print("together")
        sizes.append(len(x))
        return [2 * n for n in x]

    assert run(batched(f), {"x": 1}, {"x": 2}, {"x": 3}) == [2, 4, 6]
    assert sizes == [3]
    assert [message.log for message, _ in ends(batched(f), {"x": 1}, {"x": 2})] == 2 * [
        "together\n"
    ]


def test_async_function() -> None:
    async def f(x: ml.Batched[int]) -> list[int]:
        return x

    assert run(batched(f), {"x": 1}, {"x": 2}) == [1, 2]


def test_bad_item_fails_alone() -> None:
    seen = []

    def f(x: ml.Batched[int]) -> list[int]:
        seen.append(x)
        return x

    assert run(batched(f), {"x": 1}, {"x": "no"}, {"y": 3}, {"x": 4}) == [
        1, "invalid_input", "invalid_input", 4,
    ]  # fmt: skip
    assert seen == [[1, 4]]
    assert run(batched(f), {"x": "no"}) == ["invalid_input"]
    assert len(seen) == 1


def test_result_that_cannot_be_sent_fails_alone() -> None:
    def f(x: ml.Batched[int]) -> list[Any]:
        return [object() if n == 2 else n for n in x]

    assert run(batched(f), {"x": 1}, {"x": 2}, {"x": 3}) == [1, "result_not_encodable", 3]


@pytest.mark.parametrize(
    ("result", "told"), [([1], "not 1"), ({"a": 1}, "a dict"), ("ab", "a str"), (None, "NoneType")]
)
def test_wrong_number_of_results_fails_each(result: Any, told: str) -> None:
    runs = []

    def f(x: ml.Batched[int]) -> list[Any]:
        runs.append(x)
        return result  # type: ignore[no-any-return]

    found = [message for message, _ in ends(batched(f), {"x": 1}, {"x": 2})]
    assert [message.code for message in found] == ["result_not_encodable"] * 2
    assert all("each of 2 calls" in m.message and told in m.message for m in found)
    assert len(runs) == 1  # the others would not fare better alone


def test_exception_fails_only_who_caused_it() -> None:
    runs = []

    def f(x: ml.Batched[int]) -> list[float]:
        runs.append(x)
        print(x)
        return [1 / n for n in x]

    found = ends(batched(f), {"x": 1}, {"x": 0}, {"x": 2})
    assert [getattr(message, "code", body) for message, body in found] == [
        b"1.0", "call_failed", b"0.5",
    ]  # fmt: skip
    assert "ZeroDivisionError" in found[1][0].trace
    assert runs == [[1, 0, 2], [1], [0], [2]]
    assert [message.log for message, _ in found] == ["[1]\n", "[0]\n", "[2]\n"]


def test_error_for_the_caller() -> None:
    def f(x: ml.Batched[int]) -> list[int]:
        if 3 in x:
            raise ml.CallerError("Three is too many.")
        return x

    (_, three) = [message for message, _ in ends(batched(f), {"x": 1}, {"x": 3})]
    assert (three.code, three.message) == ("caller_error", "Three is too many.")


def test_view_of_each() -> None:
    def f(x: ml.Batched[int]) -> list[int]:
        return x

    service = batched(f)

    def seen(x: int, result: int) -> str:
        if x == 2:
            raise ValueError("no")
        return f"{x} gives {result}"

    service.set_view(seen)
    (one, body), (two, _) = ends(service, {"x": 1}, {"x": 2}, view=True)
    assert one.content_type == VIEW
    assert json.loads(body)["parts"][0]["data"] == "1 gives 1"
    assert two.code == "call_failed"


def test_progress_is_told_to_each() -> None:
    def f(x: ml.Batched[int]) -> list[int]:
        ml.progress(0.5, "half")
        return x

    told: list[Message] = []
    members = [(Call(id=n, service="f", progress=n < 3), b'{"x": 1}') for n in (1, 2, 3)]
    run_batch(batched(f), members, lambda message, body: told.append(message), _no_guard)
    assert [(m.id, m.text) for m in told if isinstance(m, Progress)] == [(1, "half"), (2, "half")]


# arrays


def test_arrays_as_a_list() -> None:
    def f(x: ml.Batched[Array]) -> list[int]:
        return [a.size for a in x]

    assert run(batched(f), {"x": [1.0]}, {"x": [1.0, 2.0]}) == [1, 2]


def test_stacked_arrays_are_grouped_by_shape() -> None:
    shapes = []

    def f(x: ml.Batched[Array]) -> ml.Batched[Array]:
        shapes.append(x.shape)  # type: ignore[attr-defined]
        return 2 * x

    bodies = [{"x": [1.0, 2.0]}, {"x": [1.0]}, {"x": [3.0, 4.0]}]
    assert run(batched(f, stack=True), *bodies) == [[2, 4], [2], [6, 8]]
    assert shapes == [(2, 2), (1, 1)]


def test_stacked_numbers_and_split_numbers() -> None:
    def f(x: ml.Batched[float], y: ml.Batched[int]) -> list[float]:
        return x + y  # type: ignore[operator]

    assert run(batched(f, stack=True), {"x": 1.5, "y": 1}, {"x": 2.5, "y": 2}) == [2.5, 4.5]


def test_stacked_tensors() -> None:
    torch: Any = pytest.importorskip("torch")

    def f(x: ml.Batched[torch.Tensor]) -> list[float]:
        return x.sum(dim=1)  # type: ignore[attr-defined]

    assert run(batched(f, stack=True), {"x": [1.0, 2.0]}, {"x": [3.0, 4.0]}) == [3, 7]


# stopping, in threads


def stopped(cancelled: tuple[int, ...]) -> list[str]:
    """Run four calls as one, cancel some of them while it runs; return how each ended."""
    entered, over = threading.Event(), threading.Event()

    def f(x: ml.Batched[int]) -> list[int]:
        entered.set()
        while not over.wait(0.01):
            pass
        return x

    threads = ThreadCallRunner(2)
    found: dict[int, str] = {}
    done = threading.Event()

    def emit(message: Message, body: bytes) -> None:
        assert isinstance(message, Result | Failure)
        assert message.id not in found
        found[message.id] = message.code if isinstance(message, Failure) else "ok"
        if len(found) == 4:
            done.set()

    members = [(Call(id=n, service="f"), b'{"x": 1}') for n in (1, 2, 3, 4)]
    threads.submit_all(batched(f), members, emit)
    assert entered.wait(30)
    for number in cancelled:
        threads.cancel(number)
    if len(cancelled) < 4:
        over.set()
    assert done.wait(30)
    return [found[n] for n in (1, 2, 3, 4)]


def test_cancel_of_one_leaves_the_others() -> None:
    assert [end for n, end in enumerate(stopped((2,)), 1) if n != 2] == ["ok"] * 3


def test_cancel_of_all_stops_the_function() -> None:
    assert stopped((1, 2, 3, 4)) == ["cancelled"] * 4


def test_cancelled_call_is_not_run_again_alone() -> None:
    runs: list[list[int]] = []
    threads = ThreadCallRunner(2)

    def f(x: ml.Batched[int]) -> list[int]:
        runs.append(x)
        if len(x) > 1:
            threads.cancel(2)
            raise ValueError("not together")
        return x

    found: dict[int, str] = {}
    done = threading.Event()

    def emit(message: Message, body: bytes) -> None:
        assert isinstance(message, Result | Failure)
        found[message.id] = message.code if isinstance(message, Failure) else "ok"
        if len(found) == 3:
            done.set()

    members = [(Call(id=n, service="f"), f'{{"x": {n}}}'.encode()) for n in (1, 2, 3)]
    threads.submit_all(batched(f), members, emit)
    assert done.wait(30)
    assert found == {1: "ok", 2: "cancelled", 3: "ok"}
    assert runs == [[1, 2, 3], [1], [3]]
