"""A real JupyterLab and a real Chromium, once per session."""

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from support.lab import FormPage, Lab, keep_screenshot, running_lab

IMPORTS = """
import threading, time
from dataclasses import dataclass
from datetime import date, datetime, time as clock
from pathlib import Path
from typing import Annotated, Any, Iterator, Literal
import numpy as np, pandas as pd
from pydantic import Field
import easymlnb as ml

@dataclass
class Point:
    x: Annotated[float, Field(ge=0)]
    y: float = 0.5
"""


@pytest.fixture
def open_form(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., FormPage]]:
    """Open cells as a notebook named after the test; a dialog opened by anything fails it."""
    pages: list[Any] = []
    alarms: list[str] = []

    def alarm(dialog: Any) -> None:
        alarms.append(dialog.message)
        dialog.dismiss()

    def start(*cells: str, **options: Any) -> FormPage:
        name = re.sub(r"\W+", "-", request.node.name)[-60:]
        page = lab.open(name, [IMPORTS, *cells], **options)
        pages.append(page)
        page.on("dialog", alarm)
        page.locator(".em-form .em-primary").first.wait_for(timeout=120_000)
        return FormPage(page, lab.root)

    yield start
    for page in pages:
        keep_screenshot(page)
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        page.close()
    assert not alarms


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[Lab]:
    """One JupyterLab for all tests; each opens notebooks of its own."""
    if find_spec("jupyterlab") is None:
        pytest.skip("JupyterLab is not installed (pip install easymlnb[dev])")
    with running_lab(tmp_path_factory.mktemp("lab"), chromium) as running:
        yield running
