"""pydantic models are sent as they write themselves, with a return hint and without."""

import dataclasses
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import numpy as np
import pandas as pd
import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, computed_field

import easymlnb as ml
from easymlnb.contract.errors import ResultNotEncodable
from easymlnb.services import presentation
from easymlnb.services.schema import Schema
from easymlnb.types import inference

T = TypeVar("T")


class User(BaseModel):
    name: str = "ada"
    password: str = Field("hunter2", exclude=True)
    key: SecretStr = SecretStr("hunter2")
    born: datetime.date = datetime.date(1815, 12, 10)
    shout: str = "hi"
    file: Path = Path("/tmp/a")

    @pydantic.field_serializer("shout")
    def _shout(self, value: str) -> str:
        return value.upper()

    @computed_field
    def size(self) -> int:
        return len(self.name)


class Team(RootModel[list[User]]):
    pass


class Boxed(BaseModel, Generic[T]):
    item: T


class Celsius(BaseModel):
    degrees: float

    @pydantic.model_serializer
    def _text(self) -> str:
        return f"{self.degrees:g} C"


class JsonOnly(BaseModel):
    at: int

    @pydantic.field_serializer("at", when_used="json")
    def _hex(self, value: int) -> str:
        return hex(value)


class ByAlias(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    inner: int = Field(1, serialization_alias="outer")


class Looks(BaseModel):
    at: int

    @pydantic.field_serializer("at")
    def _look(self, value: int, info: Any) -> int:
        return value + (info.context or {"more": 1})["more"]


@pydantic.dataclasses.dataclass
class Dated:
    day: datetime.date
    secret: str = Field("hunter2", exclude=True)


@dataclasses.dataclass
class Holds:
    user: User


VALUES = [
    User(),
    Team([User()]),
    Boxed[User](item=User()),
    Boxed[dict[str, Any]](item={"u": User()}),
    Celsius(degrees=20),
    JsonOnly(at=255),
    ByAlias(),
    Looks(at=1),
    Dated(datetime.date(2025, 1, 2)),
    Boxed[float](item=float("nan")),
]


def hinted(value: Any) -> Any:
    def f(): ...

    f.__annotations__["return"] = type(value)
    return json.loads(Schema.of(f).dump(value))


def unhinted(value: Any) -> Any:
    def f(): ...

    return json.loads(Schema.of(f).dump(value))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    ("around", "inside"),
    [
        (lambda v: v, lambda v: v),
        (lambda v: [v], lambda v: v[0]),
        (lambda v: {"a": (1, {"b": v})}, lambda v: v["a"][1]["b"]),
        (lambda v: Holds(v), lambda v: v["user"]),
        (lambda v: Boxed[Any](item=v), lambda v: v["item"]),
    ],
)
def test_without_a_hint_as_with_it(
    value: Any, around: Callable[[Any], Any], inside: Callable[[Any], Any]
) -> None:
    found = inside(unhinted(around(value)))
    assert found == hinted(value)
    assert "hunter2" not in json.dumps(found)


def test_what_is_excluded_is_not_shown_either() -> None:
    def f() -> User: ...

    for schema in (None, Schema.of(f)):
        for value in (User(), [User()], Holds(User()), Team([User()])):
            assert "hunter2" not in json.dumps(presentation.to_parts(value, schema))
    assert [(p["title"], p["data"]) for p in presentation.to_parts(User())] == [
        ("name", "ada"), ("key", "**********"), ("born", "1815-12-10"), ("shout", "HI"),
        ("file", "/tmp/a"), ("size", 3),
    ]  # fmt: skip


class Pictures(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    marked: Annotated[np.ndarray, ml.Image()]
    bare: np.ndarray
    table: pd.DataFrame
    scalar: Any
    hidden: np.ndarray = Field(np.zeros(2), exclude=True)


ZEROS = np.zeros((2, 2), np.uint8)
PICTURES = Pictures(marked=ZEROS, bare=ZEROS, table=pd.DataFrame({"a": [1]}), scalar=[np.int64(3)])


def test_values_of_our_types_inside_models_are_sent_and_shown() -> None:
    found = unhinted({"p": PICTURES})["p"]
    assert found["marked"].startswith("data:image/png")
    assert (found["bare"], found["table"], found["scalar"]) == (
        [[0, 0], [0, 0]], inference.to_json_value(PICTURES.table), [3],
    )  # fmt: skip
    assert "hidden" not in found
    for value in (PICTURES, {"p": PICTURES, "n": 1}):
        kinds = {part["title"]: part["kind"] for part in presentation.to_parts(value)}
        assert (kinds["marked"], kinds["table"]) == ("image", "table")
        assert "hidden" not in kinds


class Wraps(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    bare: np.ndarray

    @pydantic.field_serializer("bare", mode="wrap")
    def _wrap(self, value: Any, write: Any) -> list[Any]:
        return [f"<{write(value)}>", 1]


def test_a_serializer_around_a_value_of_ours_gets_its_json() -> None:
    assert unhinted(Wraps(bare=np.array([1, 2]))) == {"bare": ["<[1, 2]>", 1]}


class Odd(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    item: Any


class Broken(BaseModel):
    at: int = 1

    @pydantic.field_serializer("at")
    def _fail(self, value: int) -> int:
        raise ValueError("secret")


def test_what_cannot_be_written_is_named_without_its_own_words() -> None:
    with pytest.raises(ResultNotEncodable, match=r"at 'a.item.0': .*cannot be converted to JSON"):
        unhinted({"a": Odd(item=[object()])})
    with pytest.raises(ResultNotEncodable, match=r"at 'a': .*Broken cannot be converted") as caught:
        unhinted({"a": Broken()})
    assert "secret" not in caught.value.message
    endless = Odd(item=None)
    endless.item = [endless]
    with pytest.raises(ResultNotEncodable, match="contains itself"):
        unhinted(endless)
