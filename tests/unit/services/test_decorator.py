"""A decorated function is still that function; what cannot be a service gets an error."""

import asyncio
import functools
import inspect
import pickle
import pydoc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import easymlnb as ml
from easymlnb.contract.errors import DefinitionError
from easymlnb.services.definition import SERVICES


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    before = dict(SERVICES)
    yield
    SERVICES.clear()
    SERVICES.update(before)


@ml.service
def bare(sides: int = 6) -> int:
    """Roll a die.

    Args:
        sides: how many sides it has
    """
    return sides


@ml.service(name="other", title="Other", tags=["a"], author="A. B.", timeout=3, workers=2)
def given(x: float) -> float:
    return x


def test_calling_it_calls_it() -> None:
    assert (bare(2), bare(), given(x=1.5)) == (2, 6, 1.5)


def test_it_is_the_very_function() -> None:
    assert inspect.isfunction(bare)
    assert str(inspect.signature(bare)) == "(sides: int = 6) -> int"
    assert "Roll a die." in pydoc.render_doc(bare)
    assert pickle.loads(pickle.dumps(bare)) is bare


def test_spec_of_a_bare_one() -> None:
    spec = bare.service.spec
    assert (spec.name, spec.title, spec.description) == ("bare", "Bare", "Roll a die.")
    assert spec.input["properties"]["sides"]["description"] == "how many sides it has"


def test_options() -> None:
    spec = given.service.spec
    assert (spec.name, spec.title, spec.tags, spec.author) == ("other", "Other", ("a",), "A. B.")
    assert (spec.timeout, spec.workers) == (3, 2)


def test_examples_are_checked_and_encoded() -> None:
    spec = ml.service(examples=[{"x": 1}])(lambda_free()).service.spec
    assert spec.examples == ({"x": 1.0},)
    with pytest.raises(DefinitionError, match="Example 0 of 'free'"):
        ml.service(examples=[{"x": "one"}])(lambda_free())
    with pytest.raises(DefinitionError, match="list of dicts"):
        ml.service(examples={"x": 1})(lambda_free())  # type: ignore[arg-type]


def lambda_free() -> Callable[[float], float]:
    def free(x: float) -> float:
        return x

    return free


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "Has Spaces"}, "Invalid service name"),
        ({"name": "../etc"}, "Invalid service name"),
        ({"timeout": -1}, "timeout must be a positive number"),
        ({"timeout": True}, "timeout must be a positive number"),
        ({"workers": 0}, "workers must be a whole number of at least 1"),
        ({"max_body": "1"}, "max_body must be a positive number"),
        ({"tags": "one"}, "tags must be a list of strings"),
        ({"author": 3}, "author must be a string"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        ml.service(**options)(lambda_free())


class Holder:
    def method(self, x: int) -> int:
        return x


def test_what_cannot_be_a_service() -> None:
    for wrong in (Holder().method, Holder.method, Holder, len, functools.partial(bare, 1)):
        with pytest.raises(TypeError) as told:
            ml.service(wrong)
        assert len(str(told.value)) > 20, wrong
    with pytest.raises(DefinitionError, match="Decorate the function only once"):
        ml.service(bare)


def test_async_functions_and_generators() -> None:
    @ml.service
    async def later(x: int) -> int:
        return x

    @ml.service
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    @ml.service
    async def count_later(n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    assert asyncio.run(later(3)) == 3
    assert list(count(2)) == [0, 1]
    assert not later.service.spec.stream
    assert count.service.spec.stream
    assert count_later.service.spec.stream
    assert count.service.spec.output["type"] == "integer"


def test_view_takes_what_it_names() -> None:
    @ml.service
    def seen(a: int, b: int = 2) -> int:
        return a + b

    @seen.view
    def shown(b: int, result: int) -> str:
        return f"{b} {result}"

    assert seen.service.spec.view
    assert seen.service.view_parameters == {"b"}
    assert shown(1, 2) == "1 2"
    with pytest.raises(DefinitionError, match="needs a parameter named 'result'"):
        seen.view(lambda a: a)
    with pytest.raises(DefinitionError, match="has the parameters c, which 'seen' does not have"):
        seen.view(lambda c, result: c)


def test_removing_takes_it_out_of_this_kernel() -> None:
    gone = ml.service(lambda_free())
    assert SERVICES["free"] is gone.service
    gone.remove()
    assert "free" not in SERVICES
    assert gone(2.0) == 2.0


@pytest.mark.parametrize("name", ["admin", "close"])
def test_names_of_the_client_are_reserved(name: str) -> None:
    def roll() -> int:
        return 4

    with pytest.raises(DefinitionError, match=f"name '{name}' is reserved.*name="):
        ml.service(name=name)(roll)
