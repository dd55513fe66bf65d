import functools
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Annotated

import pytest
from pydantic import Field

from easymlnb.contract.errors import DefinitionError
from easymlnb.services import signature
from easymlnb.services.signature import MISSING


def test_hints_defaults_and_order_are_read():
    def f(a: int, b: "list[str]", c=2.5, *, d: bool = True): ...

    found = signature.read(f)
    assert [(p.name, p.hint, p.default) for p in found.parameters] == [
        ("a", int, MISSING),
        ("b", list[str], MISSING),
        ("c", MISSING, 2.5),
        ("d", bool, True),
    ]
    assert not found.stream and not found.is_async and found.returns is MISSING


def test_string_hints_see_names_of_the_enclosing_function():
    class Local: ...

    def f(x: "Local") -> "list[Local]":
        return [Local()]

    assert signature.read(f).parameters[0].hint is Local
    assert signature.read(f).returns == list[Local]


@pytest.mark.parametrize(
    ("source", "parameter", "fix"),
    [
        ("def f(*values): ...", "'*values'", "list["),
        ("def f(**options): ...", "'**options'", "dict[str"),
        ("def f(a, /, b): ...", "'a'", "Remove the '/'"),
        ("def f(a: 'Missing'): ...", "'a'", "Define or import"),
    ],
)
def test_unusable_parameters_are_named_with_the_fix(source, parameter, fix):
    names: dict = {}
    exec(source, names)
    with pytest.raises(DefinitionError) as error:
        signature.read(names["f"])
    assert parameter in error.value.message and fix in error.value.message
    assert isinstance(error.value, TypeError)


def test_field_as_default_is_refused_with_the_annotated_form():
    def f(a: int = Field(3, ge=1)): ...

    with pytest.raises(DefinitionError, match=r"'a'.*Annotated\[<type>, Field"):
        signature.read(f)


class Thing:
    def method(self, x: int): ...

    @classmethod
    def maker(cls, x: int): ...

    @staticmethod
    def plain(x: int): ...

    def __call__(self, x: int): ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x, "lambda"),
        (len, "built-in"),
        (Thing, "is a class"),
        (functools.partial(int, base=2), "partial"),
        (Thing().method, "is a method"),
        (Thing.maker, "is a method"),
        (Thing.method, "'self'"),
        (Thing(), "not a Python function"),
        (Thing.__dict__["plain"], "is a method"),
    ],
)
def test_what_is_not_a_plain_function_is_refused(function, said):
    with pytest.raises(DefinitionError, match=said):
        signature.read(function)


def test_streams_and_coroutines_are_recognised():
    def items() -> Iterator[int]:
        yield 1

    def generator() -> Generator[str, None, None]:
        yield ""

    async def later() -> float:
        return 1.0

    async def stream() -> AsyncIterator[bytes]:
        yield b""

    def untyped():
        yield 1

    read = {f.__name__: signature.read(f) for f in (items, generator, later, stream, untyped)}
    assert {name: (s.stream, s.is_async, s.returns) for name, s in read.items()} == {
        "items": (True, False, int),
        "generator": (True, False, str),
        "later": (False, True, float),
        "stream": (True, True, bytes),
        "untyped": (True, False, MISSING),
    }


GOOGLE = """Roll dice.

    Often.

    Args:
        sides: How many sides.
        seed (int): Where to start.

    Returns:
        The sum.
    """
NUMPY = """Roll dice.

    Often.

    Parameters
    ----------
    sides : int
        How many sides.
    seed : int
        Where to start.

    Returns
    -------
    int
        The sum.
    """
REST = """Roll dice.

    Often.

    :param sides: How many sides.
    :param seed: Where to start.
    :returns: The sum.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_texts_come_from_the_docstring(text):
    def f(sides: int, seed: int = 1): ...

    f.__doc__ = text
    found = signature.read(f)
    assert found.description == "Roll dice.\n\nOften."
    assert [p.description for p in found.parameters] == ["How many sides.", "Where to start."]
    assert found.returns_description == "The sum."


def test_annotated_metadata_survives():
    def f(x: Annotated[int, Field(ge=1)]): ...

    assert signature.read(f).parameters[0].hint.__metadata__[0].metadata[0].ge == 1


def test_decorated_functions_show_what_they_wrap():
    def f(x: int) -> str: ...

    @functools.wraps(f)
    def g(*args, **kwargs): ...

    assert [p.name for p in signature.read(g).parameters] == ["x"]
