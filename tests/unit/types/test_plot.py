import base64
import io
import json

import matplotlib
import PIL.Image
import pytest

import easymlnb.types as ml
from easymlnb.contract.errors import ResultNotEncodable
from easymlnb.services import codec, presentation
from easymlnb.services.schema import Schema

matplotlib.use("agg")
import matplotlib.pyplot as plt
import plotly.graph_objects as go
from matplotlib.figure import Figure

PLOTLY = "application/vnd.plotly.v1+json"


def _plot() -> ml.Plot: ...
def _figure() -> Figure: ...
def _plotly() -> go.Figure: ...
def _untyped(): ...


def drawn() -> Figure:
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    return figure


@pytest.mark.parametrize("function", [_plot, _plotly, _untyped])
def test_plotly_figures_are_their_own_json(function):
    schema, figure = Schema.of(function), go.Figure(go.Scatter(y=[1, float("nan")]), {"title": "t"})
    assert json.loads(schema.dump(figure))["data"][0]["type"] == "scatter"
    assert codec.encode_response(schema, figure, PLOTLY).content_type == PLOTLY
    (part,) = presentation.to_parts(figure, schema)
    assert part["kind"] == "plotly" and part["data"]["layout"]["title"]["text"] == "t"
    json.dumps(part, allow_nan=False)
    assert go.Figure(part["data"]).data[0].y[0] == 1


@pytest.mark.parametrize("function", [_plot, _figure, _untyped])
def test_matplotlib_figures_are_pictures(function):
    schema, figure = Schema.of(function), drawn()
    assert json.loads(schema.dump(figure)).startswith("data:image/png;base64,")
    assert codec.encode_response(schema, figure, "image/png").body[:4] == b"\x89PNG"
    assert b"<svg" in codec.encode_response(schema, figure, "image/svg+xml").body
    (part,) = presentation.to_parts(figure, schema)
    assert (part["kind"], part["media_type"]) == ("image", "image/png")
    assert PIL.Image.open(io.BytesIO(base64.b64decode(part["data"]))).size[0] > 300


def test_axes_stand_for_their_figure():
    assert presentation.to_parts(drawn().axes[0])[0]["kind"] == "image"


@pytest.mark.slow
def test_figures_do_not_pile_up():
    before = len(plt.get_fignums())
    for _ in range(30):
        presentation.to_parts(drawn())
    assert len(plt.get_fignums()) == before


def test_what_is_no_figure_is_refused():
    with pytest.raises(ResultNotEncodable):
        Schema.of(_plot).dump("no figure")
