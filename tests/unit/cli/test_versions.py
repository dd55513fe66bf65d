"""Names with versions on the command line."""

import pytest

from easymlnb.cli.versions import drift_sentence, split_version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("roll", ("roll", "")),
        ("roll@3", ("roll", "3")),
        ("ann/roll@production", ("ann/roll", "production")),
        ("ann@lab.org/roll", ("ann@lab.org/roll", "")),
        ("ann@lab.org/roll@3", ("ann@lab.org/roll", "3")),
    ],
)
def test_a_version_follows_the_last_at(text: str, expected: tuple[str, str]) -> None:
    assert split_version(text) == expected


@pytest.mark.parametrize("text", ["roll@", "@3", "@", "roll"])
def test_a_missing_part_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="NAME@VERSION, such as"):
        split_version(text, required=True)


def test_drift_is_a_sentence() -> None:
    changed = {"changed": {"numpy": ["1", "2"]}, "missing": {}}
    assert drift_sentence(changed) == "Packages changed since publishing: numpy 1 -> 2."
