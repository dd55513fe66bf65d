"""The server's side of the quality gate: its process, what is stored, and what is refused."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError

from easymlnb.contract.bundle import Manifest, write
from easymlnb.contract.errors import GateUnavailable, QualityGateFailed
from easymlnb.contract.quality import QualitySummary
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.publishing import gate as module
from easymlnb_server.publishing.gate import GateSettings, QualityGate
from easymlnb_server.settings import Settings
from support.notebooks import make_notebook

SERVICE = '@service(examples=[{}])\ndef roll() -> int:\n    """Roll."""\n    return 1'
IMPORT = "from easymlnb import service"


class Reports:
    """Fake of the table."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def get(self, bundle: str) -> dict[str, Any] | None:
        return self.rows.get(bundle)

    def put(self, bundle: str, summary: dict[str, Any], report: dict[str, Any]) -> None:
        self.rows[bundle] = report

    def summaries(self) -> dict[str, dict[str, Any]]:
        return self.rows


class FakeStore:
    def __init__(self) -> None:
        self.quality = Reports()


def made(**settings: Any) -> tuple[QualityGate, dict[str, QualitySummary]]:
    store, summaries = FakeStore(), dict[str, QualitySummary]()
    return QualityGate(GateSettings(**settings), summaries, lambda: store), summaries  # type: ignore[arg-type,return-value]


def zipped(*cells: str) -> bytes:
    return write(Manifest(notebook="a.ipynb", defines=("roll",)), make_notebook(*cells), {})


@pytest.mark.slow
async def test_a_report_goes_through_all_steps() -> None:
    gate, summaries = made()
    found = await gate.check_bundle(zipped(IMPORT, SERVICE), {"metadata": "info"})
    assert found.passed and found.counts.warning == 0
    await gate.keep("b", found)
    spec = ServiceSpec(name="roll", title="Roll", input={}, output={"type": "integer"})
    ran = make_notebook(IMPORT, SERVICE)
    await gate.check_executed("b", [spec], ran, {"metadata": "info", "examples": "info"})
    report = await gate.report("b")
    assert report is not None and report.checks["examples"] == "0 run"
    assert {one.rule for one in report.findings} >= {"examples:missing", "metadata:source"}
    assert {(one.cell, one.line) for one in report.findings if one.service} == {(1, 2)}
    assert summaries["b"] == report.summary
    summaries.clear()
    await gate.open(gate._store())  # as after a restart
    assert summaries["b"] == report.summary
    # The code is checked again; what only running it showed is kept.
    await gate.recheck("b", await gate.check_bundle(zipped(f"import os\n{IMPORT}", SERVICE), {}))
    again = await gate.report("b")
    assert again is not None
    assert {one.rule for one in again.findings} >= {"examples:missing", "ruff:F401"}


@pytest.mark.slow
async def test_what_fails_is_refused_with_its_findings(caplog: pytest.LogCaptureFixture) -> None:
    gate, _ = made(required=True, severities={"ruff:F401": "error"}, comments=False)
    cells = IMPORT, SERVICE, "import os  # noqa"
    with pytest.raises(QualityGateFailed, match="ruff:F401 in cell 3, line 1"):
        await gate.check_bundle(zipped(*cells), {"ruff": "ignore"})
    gate, _ = made(advisories="/nowhere.json")
    with pytest.raises(GateUnavailable, match="Ask the administrator") as raised:
        await gate.check_bundle(zipped(*cells), {})
    assert "nowhere" not in raised.value.message
    assert "advisories '/nowhere.json' cannot be read" in caplog.text


async def test_a_process_that_fails_or_hangs_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate, _ = made()
    script = tmp_path / "python"
    monkeypatch.setattr(module.sys, "executable", str(script))
    for text, said in (
        ("#!/bin/sh\nexit 3\n", "without a report"),
        ("#!/bin/sh\necho 3\n", "without"),
    ):
        script.write_text(text)
        script.chmod(0o700)
        with pytest.raises(GateUnavailable, match=said):
            await gate.check_bundle(zipped(SERVICE), {})
    script.write_text("#!/bin/sh\nexec sleep 100\n")
    monkeypatch.setattr(module, "SECONDS", 0.05)
    with pytest.raises(GateUnavailable, match="did not end"):
        await gate.check_bundle(zipped(SERVICE), {})


async def test_tools_and_their_files_end_with_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate, _ = made()
    held, script = tmp_path / "held", tmp_path / "python"
    os.mkfifo(held)
    script.write_text(f"#!/bin/sh\nexec 3> {held}\nsleep 100 &\necho $TMPDIR >&3\nsleep 100\n")
    script.chmod(0o700)
    monkeypatch.setattr(module.sys, "executable", str(script))
    checking = asyncio.create_task(gate.check_bundle(zipped(SERVICE), {}))
    with await asyncio.to_thread(held.open) as file:
        folder = Path((await asyncio.to_thread(file.readline)).strip())
        assert folder.name.startswith("easymlnb-gate-")
        assert await asyncio.to_thread(folder.is_dir)
        checking.cancel()
        # It ends when no process has it open for writing.
        assert await asyncio.to_thread(file.read) == ""
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert not await asyncio.to_thread(folder.exists)


def test_the_gate_applies_where_it_is_required_or_asked_for() -> None:
    assert not made()[0].applies(None)
    assert made()[0].applies({})
    assert made(required=True)[0].applies(None)


def test_invalid_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TraitError, match=r"gate_severities: 'bandi' is not a rule"):
        Settings(gate_severities={"bandi": "error"})
    settings = Settings(quality_gate="required")
    settings.check_gate()
    monkeypatch.setattr("easymlnb.contract.installation.missing", lambda *_: ("bandit",))
    with pytest.raises(TraitError, match=r"needs bandit.*pip install 'easymlnb\[gate\]'"):
        settings.check_gate()
