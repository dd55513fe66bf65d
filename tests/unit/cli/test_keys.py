"""``easymlnb keys``: what is refused before a server is asked."""

import pytest
from typer.testing import CliRunner

from easymlnb.cli.app import app


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("create", "f", "--limit", "calls_per_second=nan"), "a number above 0"),
        (("create", "f", "--limit", "calls_per_second=-1"), "a number above 0"),
        (("create", "f", "--limit", "calls_per_second"), "a number above 0"),
        (("revoke", "12345"), "not the id of a key"),
    ],
)
def test_wrong_values_are_named(arguments: tuple[str, ...], expected: str) -> None:
    found = CliRunner().invoke(app, ["keys", *arguments], env={"COLUMNS": "400"})
    assert found.exit_code == 2
    assert expected in " ".join(found.output.replace("│", " ").split())
