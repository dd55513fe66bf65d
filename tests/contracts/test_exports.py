"""The public names of ``easymlnb`` are listed three times; the lists and reality agree."""

import ast
from pathlib import Path

import pytest

import easymlnb

SOURCE = Path(easymlnb.__file__).read_text(encoding="utf-8")


def for_type_checkers() -> dict[str, str]:
    """Return name -> module of what the ``TYPE_CHECKING`` block imports."""
    blocks = [
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {
        alias.asname or alias.name: node.module or ""
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_all_is_what_is_loaded_lazily() -> None:
    assert set(easymlnb.__all__) == {*easymlnb._HOME, "__version__"}
    assert len(easymlnb.__all__) == len(set(easymlnb.__all__))


def test_type_checkers_see_the_same_names_in_the_same_homes() -> None:
    assert for_type_checkers() == {
        name: f"easymlnb.{home}" for name, home in easymlnb._HOME.items()
    }


@pytest.mark.parametrize("name", easymlnb.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(easymlnb, name) is not None
    assert name in dir(easymlnb)


def test_no_name_is_that_of_a_module() -> None:
    """Or importing the module would put it in the place of what is meant."""
    folder = Path(easymlnb.__file__).parent
    assert {path.stem for path in folder.iterdir()} & set(easymlnb.__all__) == set()


def test_other_names_are_refused_as_usual() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = easymlnb.nonsense
