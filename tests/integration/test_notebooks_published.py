"""The notebooks as published services: sent real files over HTTP, as anybody would."""

import io
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import easymlnb as ml
from easymlnb.publishing.bundle import build_bundle
from support.mcp import call_example
from support.notebooks import data, read
from support.server import RunningServer


def publish(server: RunningServer, name: str, seconds: float) -> None:
    """Publish a notebook and wait as long as its training may take on a busy machine."""
    path = server.root / f"{name}.ipynb"
    nbformat.write(read(name), path)
    headers = {"Content-Type": "application/zip"}
    sent = server.http.post("services", content=build_bundle(path).data, headers=headers)
    bundle = sent.json()["bundle"]

    def settled() -> dict[str, Any] | None:
        found: dict[str, Any] = server.http.get(f"bundles/{bundle}").json()
        return found if found["state"] != "starting" else None

    found = server.wait_for(settled, "the notebook was not published", seconds)
    assert found["state"] == "ready", found


def test_quickstart(session_server: RunningServer) -> None:
    publish(session_server, "00_quickstart", 60)
    dice = session_server.call("roll", sides=6, times=3).json()
    assert len(dice) == 3
    assert set(dice) <= set(range(1, 7))
    rolled = call_example(session_server.http, "roll")
    assert isinstance(rolled["structuredContent"], list)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_energy_forecast(session_server: RunningServer) -> None:
    load = data("germany_load_2018.csv")
    publish(session_server, "01_energy_forecast", 240)
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    answer = session_server.http.post(
        "services/energy_forecast/call", content=load.read_bytes(), headers=headers
    )
    assert answer.status_code == 200, answer.text
    table = pd.read_csv(io.StringIO(answer.text))
    assert list(table.columns) == ["time", "LinearRegression", "SVR", "RandomForest"]
    assert len(table) == 24

    frame = pd.read_csv(load, index_col="time", parse_dates=True)
    with ml.connect(session_server.url, session_server.token) as services:
        same = services.energy_forecast(load=frame, models=["RandomForest"])
    column = pd.DataFrame(same)["RandomForest"].to_numpy()
    np.testing.assert_allclose(column, table["RandomForest"].to_numpy())
    forecast = call_example(session_server.http, "energy_forecast")
    assert forecast["content"][0]["type"] == "text"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_cell_segmentation(session_server: RunningServer) -> None:
    pytest.importorskip("torch")
    nuclei = data("nuclei.tif").read_bytes()
    publish(session_server, "02_cell_segmentation", 800)
    answer = session_server.http.post(
        "services/cell_segmentation/call",
        files={"image": ("nuclei.tif", nuclei, "image/tiff")},
        data={"threshold": "0.6"},
        headers={"Accept": "image/png"},
    )
    assert answer.status_code == 200, answer.text
    labels = np.array(Image.open(io.BytesIO(answer.content)))
    assert labels.shape == (512, 512)

    view = session_server.http.post(
        "services/cell_segmentation/view",
        files={"image": ("nuclei.tif", nuclei, "image/tiff")},
        data={"threshold": "0.6"},
    ).json()
    shown = {part["title"]: part for part in view["parts"]}
    assert shown["Number of cells"]["data"] == labels.max() > 100
    assert shown["File"]["name"] == "cells.csv"
    segmented = call_example(session_server.http, "cell_segmentation")["content"]
    assert "image" in [part["type"] for part in segmented]
    assert any(part["type"] == "text" and "Number of cells" in part["text"] for part in segmented)
