"""The energy forecast: no look into the future, better than persistence, and a good service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from easymlnb.contract.errors import CallerError
from easymlnb.services import codec
from easymlnb.services.definition import SERVICES
from easymlnb.services.presentation import to_parts
from support.notebooks import data, run

NAME = "01_energy_forecast"
SERVICE = "energy_forecast"

# The first of these tests waits for the training: 20 seconds on two idle cores.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def notebook() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ENERGY_CSV", raising=False)
        yield run(NAME)
    for name in (SERVICE, "retrain"):
        SERVICES.pop(name, None)


@pytest.fixture
def example(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the first example, read as from a caller."""
    service = notebook[SERVICE].service
    body = json.dumps(service.spec.examples[0]).encode()
    found: dict[str, Any] = service.schema.load_json(body)
    return found


def german_load(notebook: dict[str, Any]) -> pd.Series:
    path = data("germany_load_2018.csv")
    series: pd.Series = notebook["hourly_load"](pd.read_csv(path, index_col=0, parse_dates=True))
    return series


def test_models_beat_persistence_on_the_german_load(notebook: dict[str, Any]) -> None:
    load = german_load(notebook)
    models = notebook["train"](load[:"2018-09-30"])
    missed = notebook["forecast_errors"](models, load, "2018-10-01")
    assert len(missed) == 92 * 24
    ratio = notebook["mae_table"](missed)["of persistence"]
    assert ratio["RandomForest"] <= 0.60
    assert ratio["LinearRegression"] <= 0.85
    assert ratio["SVR"] <= 0.85


def test_holidays_are_optional_and_help(
    notebook: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = german_load(notebook)
    found = {}
    for country in ("DE", None):
        monkeypatch.setitem(notebook, "COUNTRY", country)
        models = notebook["train"](load[:"2018-09-30"])
        found[country] = notebook["mae_table"](
            notebook["forecast_errors"](models, load, "2018-10-01")
        )
    without = found[None]["of persistence"]
    assert without["RandomForest"] <= 0.60
    assert without["LinearRegression"] <= 0.85
    assert found["DE"]["MAE"]["RandomForest"] < found[None]["MAE"]["RandomForest"]


def test_models_beat_persistence_on_made_up_load(notebook: dict[str, Any]) -> None:
    load, split = notebook["load"], notebook["split"]
    missed = notebook["forecast_errors"](notebook["train"](load[:split]), load, load.index[split])
    assert (notebook["mae_table"](missed)["of persistence"].drop("persistence") < 0.6).all()


def test_forecast_knows_nothing_of_the_day_it_is_about(notebook: dict[str, Any]) -> None:
    load = notebook["load"][: 20 * 24]
    other = load.copy()
    other.iloc[-24:] = 1.0
    rows = slice(load.index[-24], None)
    for table in (
        notebook["load_features"],
        lambda series: notebook["load_level"](series).to_frame(),
    ):
        pd.testing.assert_frame_equal(table(load).loc[rows], table(other).loc[rows])


def test_forecast_of_the_end_is_the_forecast_made_in_hindsight(notebook: dict[str, Any]) -> None:
    load, models = notebook["load"][-600:], notebook["fitted"]
    hindsight = notebook["forecast"](models, load)[-48:-24]
    ahead = notebook["forecast"](models, load[:-24])[-24:]
    pd.testing.assert_frame_equal(ahead, hindsight, check_freq=False)


def test_forecast_scales_with_the_series(notebook: dict[str, Any]) -> None:
    load, models = notebook["load"][-400:], notebook["fitted"]
    country, town = (notebook["forecast"](models, series) for series in (load, load / 1000))
    np.testing.assert_allclose(country / 1000, town)


def test_days_off(notebook: dict[str, Any]) -> None:
    days = pd.DatetimeIndex(["2018-03-30 12:00", "2018-10-03", "2018-10-04", "2018-10-06 23:00"])
    assert list(notebook["day_off"](days)) == [1.0, 1.0, 0.0, 0.5]


def test_made_up_load_is_deterministic_and_plausible(notebook: dict[str, Any]) -> None:
    load = notebook["synthetic_load"](days=60, seed=3)
    pd.testing.assert_series_equal(load, notebook["synthetic_load"](days=60, seed=3))
    by_day = load.groupby(load.index.day_of_week).mean()
    by_hour = load.groupby(load.index.hour).mean()
    assert by_day[6] < by_day[5] < by_day[2]
    assert by_hour[3] < by_hour[12]
    assert load.min() > 0


def test_service_answers_a_day_per_model(notebook: dict[str, Any], example: dict[str, Any]) -> None:
    answer = notebook[SERVICE](**example)
    assert list(answer.columns) == ["LinearRegression", "SVR", "RandomForest"]
    assert len(answer) == 24
    assert answer.index[0] - example["load"].index[-1] == pd.Timedelta(hours=1)
    assert list(notebook[SERVICE](example["load"], ["SVR"]).columns) == ["SVR"]


def test_csv_in_and_csv_out(notebook: dict[str, Any]) -> None:
    schema = notebook[SERVICE].service.schema
    body = data("germany_load_2018.csv").read_bytes()
    answer = notebook[SERVICE](**codec.decode_request(schema, "text/csv", body))
    lines = codec.encode_response(schema, answer, "text/csv").body.decode().splitlines()
    assert lines[0] == "time,LinearRegression,SVR,RandomForest"
    assert lines[1].startswith("2019-01-01")
    assert len(lines) == 25


def test_people_see_plots_numbers_and_a_file(
    notebook: dict[str, Any], example: dict[str, Any]
) -> None:
    service = notebook[SERVICE].service
    result = notebook[SERVICE](**example)
    shown = to_parts(service.view_function(**example, result=result))
    kinds = [part["kind"] for part in shown]
    assert kinds == ["plotly", "plotly", "number", "number", "number", "number", "file"]
    assert shown[-1]["name"] == "forecast.csv"

    short = {**example, "load": example["load"][-200:]}
    shown = to_parts(service.view_function(**short, result=notebook[SERVICE](**short)))
    assert [part["kind"] for part in shown] == ["plotly", "file"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda table: table[-100:], "at least 192 hours"),
        (lambda table: table.drop(index=table.index[-30:-20]), "Hours are missing"),
        (lambda table: table.assign(load="much"), "column of numbers"),
    ],
)
def test_service_says_what_is_wrong_with_a_series(
    notebook: dict[str, Any], example: dict[str, Any], broken: Any, said: str
) -> None:
    with pytest.raises(CallerError, match=said):
        notebook[SERVICE](broken(example["load"]))


def test_trains_on_a_given_file(
    notebook: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = notebook["load"][: 80 * 24].rename("DE_load_actual_entsoe_transparency").to_frame()
    table.insert(0, "DE_price_day_ahead", 40.0)
    table.index = table.index.tz_localize("UTC").rename("utc_timestamp")
    path = tmp_path / "time_series_60min.csv"
    table.to_csv(path, date_format="%Y-%m-%dT%H:%M:%SZ")
    monkeypatch.setenv("ENERGY_CSV", str(path))
    names = run(NAME)
    assert len(names["load"]) == len(table)
    assert (names["load"].to_numpy() == table.iloc[:, 1].to_numpy()).all()
    # The service of the module's other tests is back in its place.
    SERVICES[SERVICE] = notebook[SERVICE].service


def test_retrained_on_real_load_it_is_measured_on_later_hours(notebook: dict[str, Any]) -> None:
    load = pd.read_csv(data("germany_load_2018.csv"), index_col=0, parse_dates=True)
    model = notebook["retrain"](load)
    assert model.metrics["mae"] < 0.05 and model.metrics["r2"] > 0.8
    assert set(model.plots) == {"Predicted and true", "Residuals", "Permutation importance"}
    for few, words in ((load[:500], "at least eight weeks"), (load[[]], "a column of numbers")):
        with pytest.raises(CallerError, match=words):
            notebook["retrain"](few)
