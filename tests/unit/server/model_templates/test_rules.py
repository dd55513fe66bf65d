"""Models without code on the server: names, files, changes, and what the paper's client sends."""

import pytest

from easymlnb.contract.errors import BadRequest, Busy, TooLarge, UnsupportedMediaType
from easymlnb_server.model_templates import rules
from easymlnb_server.model_templates.bundles import TEMPLATES, bundle_id, bundle_of, template_named
from easymlnb_server.model_templates.mlaas import training
from easymlnb_server.model_templates.mlaas.limits import HOUR, PER_HOUR, TrainingLimiter
from easymlnb_server.model_templates.models import DataFile, TemplateConfig, TemplateModelChange


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_is_a_bundle_with_its_services(template: str) -> None:
    assert len(bundle_id(template)) == 64
    source = bundle_of(template)
    assert source == bundle_of(template)
    assert all(name.startswith("template_") for name in template_named(template).services)


def test_names_are_those_of_services() -> None:
    assert rules.check_name("prices_2") == "prices_2"
    for name in ("", "Prices", "a-b", "template_x", "jobs", "x" * 64):
        with pytest.raises(BadRequest, match="Invalid model name"):
            rules.check_name(name)


def test_files_of_other_kinds_and_sizes_are_refused_before_they_are_sent() -> None:
    template = template_named("tabular")
    rules.check_file(template, "a.CSV", 10)
    with pytest.raises(UnsupportedMediaType, match="csv"):
        rules.check_file(template, "a.xlsx", 10)
    with pytest.raises(TooLarge, match=r"2 GB exceeds the limit of"):
        rules.check_file(template, "a.csv", 2 * 2**30)


def test_a_change_keeps_the_other_choices() -> None:
    before = {"target": "price", "algorithm": "linear", "columns": {"id": "ignore"}}
    change = TemplateModelChange(algorithm="forest")
    assert rules.trains(change)
    after = rules.changed_options(before, change)
    assert after == before | {"algorithm": "forest", "folds": 5, "seed": 0, "horizon": 0}
    assert not rules.trains(TemplateModelChange(exposed=True))


def test_the_alias_production_predicts_else_the_latest_version() -> None:
    assert rules.predicting({}, 3) == 3
    assert rules.predicting({"production": 2}, 3) == 2
    assert rules.predicting({}, None) is None


def test_a_stored_configuration_that_is_unreadable_counts_as_empty() -> None:
    kept = TemplateConfig(options={"target": "y"}, exposed=True)
    assert TemplateConfig.read(kept.to_dict()) == kept
    assert TemplateConfig.read({"exposed": "what"}) == TemplateConfig()
    assert TemplateConfig.read(None) == TemplateConfig()


def test_a_failed_training_leaves_the_former_choices() -> None:
    old, new = (DataFile(file=name, name=f"{name}.csv", size=1) for name in ("old", "new"))
    first = rules.with_choices(TemplateConfig(), {"target": "y"}, old)
    assert first.former is None
    trained = rules.after_training(first, succeeded=True)
    second = rules.with_choices(trained, {"target": "z"}, new)
    assert second.files == {"old", "new"}
    assert rules.after_training(second, succeeded=False) == trained
    assert rules.after_training(second, succeeded=True).files == {"new"}


@pytest.mark.parametrize(
    "body",
    [
        {"x": [[1], [2]], "y": [3, 4]},
        {"X": [1, 2], "target": [3, 4]},
        {"data": [[1, 3], [2, 4]]},
        [[1, 3], [2, 4]],
    ],
)
def test_data_of_the_papers_client(body: object) -> None:
    rows, outputs = rules.rows_of(body)
    assert training.table_of(rows, outputs) == [{"x1": 1, "y": 3}, {"x1": 2, "y": 4}]


@pytest.mark.parametrize(
    "body", [{"x": [1], "y": [1, 2]}, {"x": []}, {"x": "1,2"}, 5, {}, {"data": [[1]]}]
)
def test_data_that_is_none(body: object) -> None:
    with pytest.raises(BadRequest):
        training.table_of(*rules.rows_of(body))


def test_small_data_is_repeated_until_it_can_be_split() -> None:
    assert len(training.repeated([{"y": 1}] * 4)) >= training.FEWEST
    assert len(training.repeated([{"y": 1}] * 50)) == 50


def test_visitors_start_some_trainings_an_hour() -> None:
    now = [0.0]
    limiter = TrainingLimiter(lambda: now[0])
    for _ in range(PER_HOUR):
        limiter.start("line")
    with pytest.raises(Busy):
        limiter.start("line")
    limiter.start("other")
    now[0] = HOUR + 1
    limiter.start("line")
