"""``key=value`` arguments, read by the service's schema."""

from typing import Any, Literal

import pytest
import typer

from easymlnb.cli.arguments import parse_arguments
from easymlnb.client.encoding import FilePart
from easymlnb.contract.spec import ServiceSpec
from easymlnb.services.schema import Schema


def everything(
    text: str = "",
    number: int = 0,
    flag: bool = False,
    maybe: int | None = None,
    word: Literal["a", "b"] = "a",
    names: list[str] | None = None,
    sizes: list[float] = [],  # noqa: B006
    table: dict[str, int] = {},  # noqa: B006
    free: Any = None,
) -> None:
    """A function of many parameters."""


SPEC = ServiceSpec(name="f", title="F", input=Schema.of(everything).input, output={})


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("text=007", "007"),
        ("text=a=b", "a=b"),
        ("text=", ""),
        ("text=[1]", "[1]"),
        ("number=7", 7),
        ("flag=true", True),
        ("maybe=null", None),
        ("maybe=3", 3),
        ("word=b", "b"),
        ("names=x", ["x"]),
        ('names=["x", "y"]', ["x", "y"]),
        ("sizes=1.5", [1.5]),
        ("sizes=[1, 2]", [1, 2]),
        ('table={"a": 1}', {"a": 1}),
        ("free=1", 1),
        ("free=word", "word"),
    ],
)
def test_values_follow_the_schema(argument, value):
    key = argument.partition("=")[0]
    assert parse_arguments([argument], SPEC) == {key: value}


def test_a_key_given_twice_is_a_list():
    assert parse_arguments(["names=x", "names=y", "names=z"], SPEC) == {"names": ["x", "y", "z"]}


def test_files_are_sent_with_name_and_kind(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n1\n")
    assert parse_arguments([f"free=@{path}"], SPEC) == {
        "free": FilePart(b"a\n1\n", "x.csv", "text/csv")
    }


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("number", "key=value"),
        ("=7", "key=value"),
        ("number=seven", "the value must be JSON"),
        ("nosuch=1", "no parameter 'nosuch'"),
        ("free=@/no/such/file", "cannot read"),
    ],
)
def test_wrong_usage_is_said(argument, says):
    with pytest.raises(typer.BadParameter, match=says):
        parse_arguments([argument], SPEC)
