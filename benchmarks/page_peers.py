"""The pages that ``apps.py`` compares: how each is installed, started, pressed and read."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from common import HERE, easymlnb, free_port, process, publish, publish_notebook, wait_until
from httpx import HTTPError, get

PEERS = HERE / "peers"
NOTEBOOK = HERE.parent / "notebooks" / "01_energy_forecast.ipynb"
NAMES = ("roll", "forecast")
MODEL = ("holidays==0.109", "pandas==3.1.1", "plotly==7.1.0", "scikit-learn==1.9.1")
"""What the notebook of the forecast needs."""

DRAWN = "document.querySelector('.js-plotly-plot .main-svg .trace')"


@dataclass(frozen=True)
class Steps:
    """JavaScript expressions: what to press in turn, and whether the page shows the answer."""

    press: tuple[str, ...]
    answered: str


@dataclass(frozen=True)
class PagePeer:
    """A program with the pages ``NAMES``, in an environment of its own."""

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    """After the environment's Python; ``{name}`` and ``{port}`` are those of a page."""
    steps: dict[str, Steps]


def _button(text: str) -> str:
    return (
        "[...document.querySelectorAll('button')]"
        f".find((one) => one.textContent.trim() === {text!r})"
    )


OURS = "easymlnb"
PRIMARY = "document.querySelector('.em-form .em-primary')"
STEPS = {
    "roll": Steps((PRIMARY,), "document.querySelector('.em-form .em-parts .em-stat')"),
    "forecast": Steps(
        (
            "document.querySelector('.em-form [data-em-action=example]')",
            # The form shows that it has the example's file.
            f"document.querySelector('.em-form .em-file .em-chosen') && {PRIMARY}",
        ),
        DRAWN,
    ),
}

GRADIO = PagePeer(
    "Gradio",
    ("gradio==6.31.0", *MODEL),
    (str(PEERS / "gradio_page.py"), "{name}", "{port}"),
    {
        "roll": Steps(
            (_button("Submit"),), "document.querySelectorAll('input[type=number]')[2]?.value"
        ),
        "forecast": Steps(
            (
                "document.querySelector('.table-wrap tbody tr, button.gallery-item')",
                f"document.querySelector('.file-preview') && {_button('Submit')}",
            ),
            DRAWN,
        ),
    },
)
STREAMLIT = PagePeer(
    "Streamlit",
    ("streamlit==1.67.0", *MODEL),
    (
        "-m", "streamlit", "run", str(PEERS / "streamlit_page.py"), "--server.port", "{port}",
        "--server.headless", "true", "--browser.gatherUsageStats", "false", "--", "{name}",
    ),
    {
        "roll": Steps((_button("Run"),), "document.querySelector('[data-testid=stMetricValue]')"),
        # Its example is chosen from the start.
        "forecast": Steps((_button("Run"),), DRAWN),
    },
)  # fmt: skip
PAGE_PEERS = (GRADIO, STREAMLIT)


def install(peer: PagePeer, folder: Path) -> Path:
    """Make the environment of a peer if it is not there; return its Python."""
    home = folder / f"page-{peer.name.lower()}"
    python = home / "bin" / "python"
    done = home / re.sub(r"\W+", "-", "-".join(peer.packages))
    if not done.exists():
        uv = [sys.executable, "-m", "uv", "--quiet"]
        subprocess.run([*uv, "venv", "--allow-existing", str(home)], check=True)
        subprocess.run([*uv, "pip", "install", "--python", str(python), *peer.packages], check=True)
        done.touch()
    return python


@contextlib.contextmanager
def running(peer: PagePeer, name: str, folder: Path, environments: Path) -> Iterator[str]:
    """Run a page of a peer; yields its URL."""
    python, port = install(peer, environments), free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "JUPYTER"))}
    environment |= {"PYTHONPATH": str(PEERS), "GRADIO_ANALYTICS_ENABLED": "False"}
    command = [part.format(name=name, port=port) for part in (str(python), *peer.command)]
    url = f"http://127.0.0.1:{port}/"
    with process(command, environment, folder):
        wait_until(lambda: _answers(url), 300)
        yield url


def _answers(url: str) -> None:
    try:
        get(url).raise_for_status()
    except HTTPError as error:
        raise OSError(str(error)) from error


@contextlib.contextmanager
def ours(folder: Path, names: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Run a server with the same functions as public services; yields their pages' URLs."""
    with easymlnb(folder) as url:
        if "roll" in names:
            publish(url, roll_source(), "roll")
        if "forecast" in names:
            publish_notebook(url, _public(folder))
        pages = {"roll": "public/roll", "forecast": "public/energy_forecast"}
        yield {name: f"{url}{pages[name]}" for name in names}


def roll_source() -> str:
    """Return a notebook cell with the function as a service."""
    source = (PEERS / "page_functions.py").read_text(encoding="utf-8")
    decorated = (
        "@ml.service(public=True)\n"
        "def roll(sides: Annotated[int, ml.Slider(2, 100)] = 6"
    )  # fmt: skip
    heads = "from typing import Annotated\n\nimport easymlnb as ml\n"
    return heads + source.replace("def roll(sides: int = 6", decorated)


def _public(folder: Path) -> Path:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("@ml.service(\n", "@ml.service(\n    public=True,\n")
    path = folder / NOTEBOOK.name
    nbformat.write(notebook, path)
    return path
