"""What ``compare`` and ``flags`` print, and how they end."""

from pathlib import Path
from typing import Any

import pytest
import typer

from easymlnb.cli.compare import compare_and_show, show_flags

SUMMARY: dict[str, Any] = {
    "outcomes": {"equal": 2},
    "latency": [
        {"version": 3, "errors": 0, "p50": 0.2, "p95": 0.3},
        {"version": 4, "errors": 1, "p50": None, "p95": None},
    ],
    "flips": [{"before": "cat", "after": "dog", "count": 2}],
    "largest": 0.5,
    "iou": 0.97,
}
FOUND: dict[str, Any] = {
    "id": "c1", "service": "f", "versions": [3, 4], "state": "succeeded", "summary": SUMMARY,
    "items": [
        {
            "number": 0, "outcome": "different", "inputs": "x=1",
            "differences": [{"path": "label", "kind": "label", "before": "cat", "after": "dog"}],
        },
        {"number": 1, "outcome": "failed", "note": "One failed.", "after": {"code": "e"}},
    ],
}  # fmt: skip
FLAG = {
    "id": "r1", "time": "2026-01-02T03:04:05+00:00", "version": "3", "caller": "ann",
    "reason": "wrong \x1b label", "inputs": "x=1",
}  # fmt: skip


class Client:
    """Fake of a client and of its ``admin``."""

    def __init__(self, outcomes: dict[str, int]) -> None:
        self.found = {**FOUND, "summary": {**SUMMARY, "outcomes": outcomes}}
        self.asked: Any = None

    @property
    def admin(self) -> "Client":
        return self

    def compare(self, *given: Any, **options: Any) -> dict[str, Any]:
        self.asked = given, options
        return self.found

    def flags(self, name: str) -> list[dict[str, Any]]:
        return [FLAG] if name == "f" else []

    def records_dataset(self, name: str, *, kind: str, format: str) -> bytes:
        return f"{name} {kind} {format}".encode()


def test_equal_versions(capsys: pytest.CaptureFixture[str]) -> None:
    client: Any = Client({"equal": 2, "within": 1})
    compare_and_show(client, "f", ("3", "production"), {"on": "flagged"}, json=False)
    assert client.asked == (("f", 3, "production"), {"on": "flagged"})
    shown = capsys.readouterr().out
    for text in ("2 equal, 1 within", "p50 200 ms", "no answers, 1 errors", "0.9700", "'cat'"):
        assert text in shown


@pytest.mark.parametrize("json", [True, False])
def test_different_versions_exit_with_one(json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    client: Any = Client({"different": 1, "failed": 1})
    with pytest.raises(typer.Exit) as ended:
        compare_and_show(client, "f", ("3", "4"), {}, json=json)
    assert ended.value.exit_code == 1
    assert json or "label: 'cat' became 'dog'" in capsys.readouterr().out


def test_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client: Any = Client({})
    show_flags(client, "f", None, json=False)
    shown = capsys.readouterr().out
    assert "wrong" in shown
    assert "\x1b" not in shown
    show_flags(client, "g", None, json=False)
    assert "No calls of g are flagged." in capsys.readouterr().err
    show_flags(client, "f", tmp_path / "flags.csv", json=False)
    assert (tmp_path / "flags.csv").read_bytes() == b"f flagged csv"
    with pytest.raises(typer.BadParameter):
        show_flags(client, "f", tmp_path / "flags.xlsx", json=False)
