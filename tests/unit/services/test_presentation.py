import base64
import json
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

import easymlnb.types as ml
from easymlnb.contract.errors import ResultNotEncodable
from easymlnb.services import presentation
from easymlnb.services.schema import Schema


def kinds(value, schema=None) -> list[tuple[str, str]]:
    parts = presentation.to_parts(value, schema)
    json.dumps(parts, allow_nan=False)
    return [(part["kind"], part["title"]) for part in parts]


class Model(BaseModel):
    size: int = 3
    name: str = "a"


@dataclass
class Outcome:
    mask: Annotated[np.ndarray, ml.Image()]
    table: pd.DataFrame
    count: int


class Pair(NamedTuple):
    left: int
    right: str


OUTCOME = Outcome(np.zeros((4, 4), np.uint8), pd.DataFrame({"a": [1]}), 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, [("number", "")]),
        (2.5, [("number", "")]),
        (np.float32(2.5), [("number", "")]),
        ("x", [("text", "")]),
        (True, [("json", "")]),
        (None, [("json", "")]),
        (float("nan"), [("json", "")]),
        ([1, 2], [("json", "")]),
        ({}, [("json", "")]),
        ({"a": 1, "b": "x"}, [("number", "a"), ("text", "b")]),
        ({"a": {"b": 1}, "c": [1]}, [("json", "")]),
        ({"a": {"b": pd.DataFrame()}, "n": 1}, [("table", "b"), ("number", "n")]),
        ((1, "x"), [("number", "1"), ("text", "2")]),
        (Pair(1, "x"), [("number", "left"), ("text", "right")]),
        (Model(), [("number", "size"), ("text", "name")]),
        ([pd.DataFrame({"a": [1]}), 3], [("table", "1"), ("number", "2")]),
        ({str(n): n for n in range(100)}, [("json", "")]),
        (b"bytes", [("file", "")]),
        (ml.File(b"\x89PNG", "a.png"), [("image", "")]),
        (ml.Audio(b"RIFF", "a.wav", "audio/wav"), [("audio", "")]),
    ],
)
def test_results_are_shown_by_what_they_are(value, expected):
    assert kinds(value) == expected


def test_hints_say_how_entries_are_shown():
    def f() -> Outcome: ...
    def g() -> dict[str, Annotated[np.ndarray, ml.Image()]]: ...
    def h() -> tuple[Annotated[np.ndarray, ml.Image()], str]: ...
    def i() -> list[ml.Markdown] | None: ...

    zeros = np.zeros((4, 4), np.uint8)
    assert kinds(OUTCOME, Schema.of(f)) == [
        ("image", "mask"),
        ("table", "table"),
        ("number", "count"),
    ]
    assert kinds({"a": zeros}, Schema.of(g)) == [("image", "a")]
    assert kinds((zeros, "x"), Schema.of(h)) == [("image", "1"), ("text", "2")]
    assert kinds([ml.Markdown("a")], Schema.of(i)) == [("markdown", "1")]
    assert kinds(None, Schema.of(i)) == [("json", "")]


def test_a_result_that_breaks_its_hint_is_shown_by_what_it_is():
    def f() -> ml.Image: ...

    assert kinds(pd.DataFrame({"a": [1]}), Schema.of(f)) == [("table", "")]
    assert kinds(3, Schema.of(f)) == [("number", "")]


def test_files_carry_their_bytes_and_label():
    (part,) = presentation.to_parts(ml.File(b"a,b", "../t.csv"))
    assert base64.b64decode(part["data"]) == b"a,b"
    assert (part["name"], part["media_type"]) == ("t.csv", "text/csv")


def test_what_cannot_be_shown_is_named():
    with pytest.raises(ResultNotEncodable, match="'b'"):
        presentation.to_parts({"a": 1, "b": object()})
