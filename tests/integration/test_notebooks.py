"""The notebooks are clean files, and the quickstart does what it says."""

import random
import re

import nbformat
import pytest

from easymlnb.services.definition import SERVICES
from support.notebooks import NOTEBOOKS, read, run

NAMES = ("00_quickstart", "01_energy_forecast", "02_cell_segmentation", "03_classifier")


def test_every_notebook_is_tested() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_is_a_clean_file(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("name", NAMES)
def test_publishes_in_a_cell_that_workers_skip(name: str) -> None:
    publishing = [cell for cell in read(name).cells if re.search(r"\.publish\(\)$", cell.source)]
    assert len(publishing) == 1
    assert publishing[0].metadata.tags == ["skip"]


@pytest.mark.parametrize("name", NAMES)
def test_lines_fit_on_a_screen(name: str) -> None:
    for cell in read(name).cells:
        if cell.cell_type == "code":
            assert all(len(line) <= 100 for line in cell.source.splitlines()), cell.id


def test_quickstart_rolls_dice() -> None:
    names = run("00_quickstart")
    roll = names["roll"]
    try:
        dice = random.Random(1)
        assert roll(6, times=3, seed=1) == [dice.randint(1, 6) for _ in range(3)]
        assert roll.service.view_function(result=[2, 3])["Sum"] == 5
        assert roll.service.spec.input["properties"]["sides"]["description"]
    finally:
        SERVICES.pop("roll", None)
