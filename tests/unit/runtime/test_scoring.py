"""Requests of MLflow's scoring protocol: all forms, for each kind of service."""

import io
import json
import queue
from contextlib import nullcontext
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest

import easymlnb as ml
from easymlnb.contract.batch_protocol import operation_name
from easymlnb.contract.scoring import CSV, JSON, PARQUET, SCORE
from easymlnb.contract.worker_protocol import Call, Failure
from easymlnb.runtime.operations import run_calls
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import define

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [10, 20, 30]})
SPLIT = {"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 10], [2.0, 20], [3.0, 30]]}}
RECORDS = {"dataframe_records": FRAME.to_dict("records")}
INSTANCES = {"instances": FRAME.to_dict("records")}
INPUTS = {"inputs": FRAME.to_dict("list")}


def of_table(data: ml.Table, factor: float = 1.0) -> Any:
    return (data["a"] + data["b"]) * factor


def of_row(a: float, b: int, factor: float = 1.0) -> float:
    return (a + b) * factor


def service(function: Any, **options: Any) -> Any:
    return define(function, **options)


def ask(made: Any, body: Any, content_type: str = JSON) -> Any:
    """Return the predictions, or the failure."""
    call = Call(id=1, service=operation_name(made.name, SCORE), content_type=content_type)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    ((end, answer),) = run_calls(made, [(call, data)], lambda *_: None, lambda _: nullcontext())
    if isinstance(end, Failure):
        return f"{end.code}: {end.message}"
    return json.loads(answer)["predictions"]


def files() -> list[tuple[str, bytes]]:
    parquet = io.BytesIO()
    FRAME.to_parquet(parquet)
    text = FRAME.to_csv(index=False).encode()
    return [(CSV, text), (f"{CSV}; charset=utf-8", text), (PARQUET, parquet.getvalue())]


@pytest.mark.parametrize("function", [of_table, of_row], ids=["table", "rows"])
def test_every_form_gives_the_same_predictions(function: Any) -> None:
    made = service(function)
    for form in (SPLIT, RECORDS, INSTANCES, INPUTS):
        assert ask(made, form) == [11.0, 22.0, 33.0], form
        assert ask(made, form | {"params": {"factor": 2.0, "unknown": 1}}) == [22.0, 44.0, 66.0]
    for content_type, data in files():
        assert ask(made, data, content_type) == [11.0, 22.0, 33.0]
    # Columns that the service does not know are left out.
    wider = {"dataframe_records": [{"a": 1, "b": 2, "note": "x"}]}
    assert ask(made, wider) == [3.0]
    assert ask(service(of_row), {"dataframe_records": []}) == []


def test_rows_without_names_are_values_of_the_parameters() -> None:
    assert ask(service(of_row), {"instances": [[1, 2], [3, 4]]}) == [3.0, 7.0]
    assert "have no names" in ask(service(of_row), {"instances": [[1], [2]]})

    def named(data: Annotated[pd.DataFrame, ml.Table(columns=["a", "b"])]) -> Any:
        return data["b"] - data["a"]

    assert ask(service(named), {"instances": [[1, 2], [3, 9]]}) == [1, 6]
    assert "no names of columns" in ask(service(named), {"inputs": [1, 2]})


def test_names_of_columns_that_cannot_be_a_table() -> None:
    twice = {"dataframe_split": {"columns": ["a", "b", "a"], "data": [[1, 2, 3]]}}
    for function in (of_table, of_row):
        assert "two columns named 'a'" in ask(service(function), twice)
    sparse = {"dataframe_records": [{f"c{number}": 1} for number in range(2000)]}
    assert "2,000 different names" in ask(service(of_table), sparse)


def test_tensors_are_one_value_or_a_list_of_values() -> None:
    def whole(x: Annotated[np.ndarray, ml.Array("float64", (None, 2))]) -> np.ndarray:
        return x.sum(axis=1)

    def each(x: Annotated[np.ndarray, ml.Array("float64", (2,))]) -> float:
        return float(x.sum())

    def numbers(x: list[float], scale: float) -> float:
        return sum(x) * scale

    def scalar(x: float) -> float:
        return x * 2

    def image(x: np.ndarray) -> list[int]:
        return list(x.shape)

    rows = [[1.0, 2.0], [3.0, 4.0]]
    for form in ("instances", "inputs"):
        assert ask(service(whole), {form: rows}) == [3.0, 7.0]
        assert ask(service(each), {form: rows}) == [3.0, 7.0]
        assert ask(service(scalar), {form: [1.0, 2.0]}) == [2.0, 4.0]
        assert ask(service(image), {form: rows}) == [2, 2]
    assert ask(service(numbers), {"inputs": {"x": rows, "scale": [1, 10]}}) == [3.0, 70.0]
    assert ask(service(numbers), {"inputs": {"x": rows, "scale": 10}}) == [30.0, 70.0]
    assert ask(service(numbers), {"inputs": {"x": [1, 2], "scale": 10}}) == 30.0
    assert "same number of rows" in ask(service(numbers), {"inputs": {"x": rows, "scale": [1]}})
    # A table of numbers is a tensor for a parameter that is one.
    assert ask(service(whole), SPLIT) == [11.0, 22.0, 33.0]


def test_what_is_wrong_is_said() -> None:
    made, table = service(of_row), service(of_table)
    cases: list[tuple[Any, Any, str, str]] = [
        (made, b"{", JSON, "not valid JSON"),
        (made, b"[1]", JSON, "exactly one of"),
        (made, {}, JSON, "none of them"),
        (made, {**SPLIT, **RECORDS}, JSON, "'dataframe_split', 'dataframe_records'"),
        (made, {"dataframe_split": [1]}, JSON, "'columns' and 'data'"),
        (made, {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, JSON, "Row 1"),
        (made, {"dataframe_records": {"a": 1}}, JSON, "must be a list of objects"),
        (made, {"dataframe_records": [1]}, JSON, "must be an object"),
        (made, {"instances": 5}, JSON, "must be a list"),
        (made, {"inputs": "x"}, JSON, "JSON string"),
        (made, {"inputs": {"c": [1]}}, JSON, "None of the inputs ('c')"),
        (made, {**SPLIT, "params": 5}, JSON, "'params' must be an object"),
        (made, {"dataframe_records": [{"a": 1}]}, JSON, "'b' is missing"),
        (made, {"dataframe_records": [{"a": 1, "b": 1}, {"a": "x", "b": 2}]}, JSON, "Row 2"),
        (made, b"a,b\n1,2\nx,3\n", CSV, "Row 2"),
        (made, b"", CSV, "empty"),
        (made, b"PAR1", PARQUET, "damaged"),
        (table, b"no parquet", PARQUET, "not a parquet file"),
        (table, {"dataframe_records": [{"a": {}}]}, JSON, "plain value"),
        (made, b"x", "text/plain", "unsupported_media_type"),
        (made, b"\xff", JSON, "not valid JSON"),
    ]
    for one, body, content_type, text in cases:
        answer = ask(one, body, content_type)
        assert isinstance(answer, str) and text in answer, (body, answer)


def test_an_error_of_the_function_names_its_row() -> None:
    def picky(a: float) -> float:
        if a < 0:
            raise ml.CallerError("a must not be negative.")
        return 1 / a

    made = service(picky)
    assert ask(made, {"instances": [1.0, -1.0]}) == "caller_error: Row 2: a must not be negative."
    assert ask(made, {"instances": [1.0, 0.0]}).startswith("call_failed: Row 2: ")


def test_rows_of_a_batched_service_run_together() -> None:
    sizes = []

    def together(a: ml.Batched[float], b: ml.Batched[int]) -> list[float]:
        sizes.append(len(a))
        return [x + y for x, y in zip(a, b, strict=True)]

    made = service(together, batch=ml.Batch(max_size=2))
    assert ask(made, SPLIT) == [11.0, 22.0, 33.0]
    assert sizes == [2, 1]


def test_live_services_answer_in_their_threads() -> None:
    ends: queue.Queue[tuple[Any, bytes]] = queue.Queue()
    made = define(of_row)
    call = Call(id=1, service=operation_name(made.name, SCORE))
    runner = ThreadCallRunner(1)
    runner.submit_all(made, [(call, json.dumps(SPLIT).encode())], lambda *end: ends.put(end))
    assert json.loads(ends.get(timeout=20)[1]) == {"predictions": [11.0, 22.0, 33.0]}
