"""The quality gate of a server: checks in a process of their own, which runs no code of authors."""

import asyncio
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import nbformat

from easymlnb.contract import quality
from easymlnb.contract.errors import GateUnavailable, from_code
from easymlnb.contract.gate_protocol import GateRequest
from easymlnb.contract.quality import QualityReport, QualitySummary
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.store.store import Store

SECONDS = 180.0
"""Time limit of one run."""

RUNS = 2
"""Runs at the same time; others wait."""

log = logging.getLogger("easymlnb.gate")


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The administrator's settings.

    required: whether every bundle must pass.
    severities: by check or rule; they take precedence over those of authors.
    comments: whether comments in the code hide findings.
    advisories: a file with known vulnerabilities, or empty.
    """

    required: bool = False
    severities: Mapping[str, str] = field(default_factory=dict)
    comments: bool = True
    advisories: str = ""


class QualityGate:
    """Checks bundles before they are accepted, and again what running them produced.

    Parameters
    ----------
    settings
        The administrator's settings.
    summaries
        Gets the result for each bundle.
    store
        Returns the open store, or raises why it is not open.
    """

    def __init__(
        self,
        settings: GateSettings,
        summaries: dict[str, QualitySummary],
        store: Callable[[], Store],
    ) -> None:
        self.settings = settings
        self._summaries = summaries
        self._store = store
        self._free = asyncio.Semaphore(RUNS)

    async def open(self, store: Store) -> None:
        """Take up the stored results."""
        stored = await asyncio.to_thread(store.quality.summaries)
        self._summaries.clear()
        for bundle, summary in stored.items():
            self._summaries[bundle] = msgspec.convert(summary, QualitySummary)

    def applies(self, asked: Mapping[str, str] | None) -> bool:
        """Return whether a bundle has to pass; ``asked`` are its author's severities."""
        return self.settings.required or asked is not None

    async def check_bundle(self, data: bytes, author: Mapping[str, str]) -> QualityReport:
        """Check a bundle; raises ``QualityGateFailed`` or ``GateUnavailable``."""
        with tempfile.TemporaryDirectory(prefix="easymlnb-gate-") as folder:
            file = Path(folder) / "bundle.zip"
            await asyncio.to_thread(file.write_bytes, data)
            request = self._request(author, bundle=str(file), advisories=self.settings.advisories)
            found = await self._run(request, folder)
        if not found.passed:
            raise quality.failed(found)
        return found

    async def check_executed(
        self,
        bundle: str,
        specs: Iterable[ServiceSpec],
        notebook: nbformat.NotebookNode,
        author: Mapping[str, str],
    ) -> None:
        """Check what running a bundle produced, and store the whole report.

        Raises ``QualityGateFailed`` or ``GateUnavailable``.
        """
        offered = tuple(msgspec.structs.replace(one, app=None) for one in specs)
        ran = sum(len(one.examples) for one in offered if one.training is None)
        with tempfile.TemporaryDirectory(prefix="easymlnb-gate-") as folder:
            file = Path(folder) / "executed.ipynb"
            await asyncio.to_thread(file.write_text, nbformat.writes(notebook), encoding="utf-8")
            request = self._request(author, notebook=str(file), specs=offered, examples=ran)
            found = await self._run(request, folder)
        before = await self.report(bundle)
        if before is not None:
            found = quality.combined(before, found)
        await self.keep(bundle, found)
        if not found.passed:
            raise quality.failed(found)

    async def recheck(self, bundle: str, found: QualityReport) -> None:
        """Store a new report on the code of a bundle that ran before."""
        before = await self.report(bundle)
        await self.keep(bundle, found if before is None else quality.combined(found, before))

    async def keep(self, bundle: str, found: QualityReport) -> None:
        """Store a report, and show it from now on."""
        summary, report = msgspec.to_builtins(found.summary), msgspec.to_builtins(found)
        await asyncio.to_thread(lambda: self._store().quality.put(bundle, summary, report))
        self._summaries[bundle] = found.summary

    async def report(self, bundle: str) -> QualityReport | None:
        """Return the stored report of a bundle."""
        document = await asyncio.to_thread(lambda: self._store().quality.get(bundle))
        return None if document is None else quality.convert(document)

    def _request(self, author: Mapping[str, str], **more: Any) -> GateRequest:
        return GateRequest(
            author=dict(author),
            admin=dict(self.settings.severities),
            required=self.settings.required,
            comments=self.settings.comments,
            **more,
        )

    async def _run(self, request: GateRequest, folder: str) -> QualityReport:
        async with self._free:
            answer = await _answer(msgspec.json.encode(request), folder)
        try:
            document = msgspec.json.decode(answer)
            if "error" in document:
                error = document["error"]
                raise from_code(error["code"], error["message"], error.get("details"))
            return msgspec.convert(document, QualityReport)
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
            raise GateUnavailable(
                "The quality gate ended without a report. The server's log has its output."
            ) from error


async def _answer(request: bytes, folder: str) -> bytes:
    """Run the process of the gate, and return what it writes."""
    process = await asyncio.create_subprocess_exec(
        # -P: a file in the working folder must not take the place of a package.
        *(sys.executable, "-P", "-m", "easymlnb.publishing.gate"),
        cwd=folder,
        env={**_variables(), "TMPDIR": folder},
        start_new_session=True,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            answer, said = await process.communicate(request)
    except TimeoutError:
        raise GateUnavailable(
            f"The quality gate did not end within {SECONDS:g} s. Split the notebook."
        ) from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the tools that it runs
            await process.wait()
    if said:
        log.warning("The quality gate wrote: %s", said[-2000:].decode(errors="replace"))
    return answer


def _variables() -> dict[str, str]:
    """Return the environment of the process, without the token and secrets of this server."""
    secret = ("EASYMLNB_", "JUPYTER", "JPY_", "CONFIGPROXY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(secret)}
