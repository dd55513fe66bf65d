"""The template ``tabular``: predict a column of a table from the others."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import CallerError
from easymlnb.templates import column_kinds, drawings, learning, profile, proposals, signatures
from easymlnb.templates.column_kinds import ColumnKind
from easymlnb.templates.config import IGNORE, Config
from easymlnb.templates.learning import Learned, Progress
from easymlnb.templates.proposals import Question
from easymlnb.templates.reading import Reading, read_table, with_dates
from easymlnb.types.uploaded_files import Data

if TYPE_CHECKING:
    import pandas as pd

    from easymlnb.training.datasets import Dataset
    from easymlnb.training.findings import DataFinding

NAME = "tabular"


def look(data: Data, config: Config, name: str = "") -> dict[str, Any]:
    """Describe a table; with a target, also what to know before a model is trained."""
    frame, reading = read_table(data, config.reading, name)
    about = profile.profile(frame, reading)
    found = about["reading"]
    order = column_kinds.is_ambiguous
    about["ambiguous_dates"] = [
        str(name)
        for name in frame.columns
        if not config.reading.dates
        and frame[name].dtype.kind not in "Miufb"
        and order(frame[name].dropna().astype(str).tolist())
    ]
    if config.target:
        read = Reading(**found)
        _require(frame, config.target)
        question = about["question"] = question_of(config, about["columns"])
        about["findings"] = findings(frame, config, read, question)
    return about


def typed(
    frame: "pd.DataFrame", config: Config, reading: Reading
) -> "tuple[pd.DataFrame, dict[str, str]]":
    """Return the columns that are used, converted, and their kinds; raises ``CallerError``."""
    for name in filter(None, (config.target, config.groups, _time(config), *config.columns)):
        _require(frame, name)
    kinds: dict[str, str] = {}
    for name in frame.columns:
        kind = config.columns.get(name) or column_kinds.infer(frame[name], reading.dates)
        if kind != IGNORE or name == config.target:
            kinds[name] = str(kind)
    if config.target:
        kinds[config.target] = _target_kind(frame, config, kinds)
    named = {config.target, config.groups, _time(config)}
    used = {
        name: kind for name, kind in kinds.items() if kind in column_kinds.USED or name in named
    }
    return column_kinds.convert(frame, used, reading.decimal or ".", reading.dates), used


def _require(frame: "pd.DataFrame", name: str) -> None:
    if name not in frame.columns:
        names = ", ".join(map(str, frame.columns[:20]))
        raise CallerError(f"The table has no column {name!r}. Columns: {names}.")


def _time(config: Config) -> str:
    return "" if config.time == "-" else config.time


def _target_kind(frame: "pd.DataFrame", config: Config, kinds: dict[str, str]) -> str:
    """Return the kind of the target that fits the question."""
    given = kinds.get(config.target, "")
    if config.question == Question.CLASSIFICATION.value:
        return ColumnKind.CATEGORY.value
    if config.question == Question.REGRESSION.value:
        return ColumnKind.NUMBER.value
    return given if given != IGNORE else str(column_kinds.infer(frame[config.target]))


def question_of(config: Config, columns: Sequence[dict[str, Any]]) -> str:
    """Return the question of a configuration, or the one that its target suggests."""
    return config.question or proposals.question(columns, config.target)


def findings(
    frame: "pd.DataFrame", config: Config, reading: Reading, question: str
) -> list[dict[str, Any]]:
    """Return what to know before a model is trained, errors first."""
    from dataclasses import asdict

    from easymlnb.training.checks import check
    from easymlnb.training.findings import ERROR, DataFinding

    try:
        check_target(frame, config, reading, question)
    except CallerError as error:
        return [asdict(DataFinding("mixed_target", error.message, config.target, ERROR))]
    table, used = typed(frame, config, reading)
    texts = _free_texts(frame, config, used)
    table = table.join(column_kinds.convert(frame, dict.fromkeys(texts, ColumnKind.TEXT)))
    task = "classification" if question == Question.CLASSIFICATION else "regression"
    time = "" if config.time == "-" else config.time or None
    found = check(table, config.target, task=task, time=time, groups=config.groups or None)
    asked = {finding.column for finding in found}
    unused = (
        DataFinding("free_text", f"{name!r} is free text, which is not used.", name)
        for name in texts
        if name not in asked
    )
    unread = _unread_cells(frame, table, config, used, reading)
    return [asdict(finding) for finding in (*found, *unread, *unused)]


def _unread_cells(
    frame: "pd.DataFrame",
    table: "pd.DataFrame",
    config: Config,
    used: dict[str, str],
    reading: Reading,
) -> "Iterator[DataFinding]":
    """Yield columns with cells that do not have the kind of the others."""
    from easymlnb.training.findings import DataFinding

    for name, kind in used.items():
        if name == config.target or frame[name].dtype.kind in "iufbM":
            continue
        wrong: list[str] = []
        if kind == ColumnKind.NUMBER:
            wrong, what = column_kinds.not_numbers(frame[name], reading.decimal or "."), "numbers"
        elif kind == ColumnKind.DATE:
            wrong, what = column_kinds.not_dates(frame[name], table[name]), "dates"
        elif column_kinds.has_mixed_dates(frame[name]):
            message = (
                f"{name!r} has dates in different formats, so they count as texts. Write all in "
                "one format, such as 2025-01-31."
            )
            yield DataFinding("mixed_dates", message, name)
        if wrong:
            message = (
                f"{len(wrong):,} of {len(frame):,} cells of {name!r} are not {what}, such as "
                f"{wrong[0][:40]!r}. They count as missing."
            )
            yield DataFinding("mixed_types", message, name)


def _free_texts(frame: "pd.DataFrame", config: Config, used: dict[str, str]) -> list[str]:
    """Return the columns of texts that are neither used nor left out by a choice."""
    return [
        str(name)
        for name in frame.columns
        if name not in used
        and (config.columns.get(name) or column_kinds.infer(frame[name])) == ColumnKind.TEXT
    ]


def check_target(frame: "pd.DataFrame", config: Config, reading: Reading, question: str) -> None:
    """Raise ``CallerError`` if a target has too few numbers for its question."""
    if question != Question.REGRESSION:
        return
    target = frame[config.target]
    wrong = column_kinds.not_numbers(target, reading.decimal or ".")
    known = int(target.notna().sum())
    if len(wrong) > (1 - column_kinds.MOSTLY) * max(1, known):
        raise CallerError(
            f"The target {config.target!r} has {len(wrong):,} of {known:,} cells that are not "
            f"numbers, such as {wrong[0][:40]!r}. Choose the question 'classification', or another "
            "target."
        )


def train(data: Data, config: Config, progress: Progress, name: str = "") -> Learned:
    """Train a model of a table; raises ``CallerError`` if that is not possible."""
    learning.require_target(config)
    progress(0.0, "Reading the table")
    frame, reading = read_table(data, config.reading, name)
    about = profile.profile(frame, reading)
    reading = Reading(**about["reading"])
    _require(frame, config.target)
    question = question_of(config, about["columns"])
    check_target(frame, config, reading, question)
    if question == "":
        raise CallerError(
            f"The column {config.target!r} cannot be predicted: it is empty, constant or free text."
        )
    table, kinds = typed(frame, _with_question(config, question), reading)
    dataset = dataset_of(table, config, question)
    chosen = learning.choose(dataset, config, progress)
    pairs = learning.importance(dataset, chosen, config.seed)
    if pairs:
        chosen.report["plots"].append(drawings.bars("Importance of the columns", pairs))
    inputs = {name: kinds[name] for name in dataset.x.columns}
    signature = signatures.learn(table, inputs, config.target, question)
    signature |= {"template": NAME, "reading": with_dates(reading, reading.dates).to_dict()}
    if question == Question.CLASSIFICATION:
        signature["classes"] = dataset.classes
    return Learned(
        chosen.evaluation.model,
        chosen.evaluation.metrics,
        signature,
        {**chosen.report, "question": question, "target": config.target},
    )


def _with_question(config: Config, question: str) -> Config:
    import msgspec

    return msgspec.structs.replace(config, question=question)


def dataset_of(table: "pd.DataFrame", config: Config, question: str) -> "Dataset":
    """Return features and target as they are split; raises ``CallerError``."""
    from easymlnb.training.datasets import dataset

    time = "" if config.time == "-" else config.time or None
    task = "classification" if question == Question.CLASSIFICATION else "regression"
    return dataset(
        table,
        config.target,
        task=task,
        time=time,
        groups=config.groups or None,
        horizon=config.horizon,
    )


class TabularPredictor:
    """Predicts rows with a trained model."""

    def __init__(self, model: Any, signature: dict[str, Any]) -> None:
        self._model = model
        self.signature = signature
        self._reading = Reading(**signature.get("reading", {}))

    def predict(self, rows: Sequence[Any]) -> dict[str, Any]:
        """Return the predictions of rows, with warnings; raises ``CallerError``."""
        if not rows:
            return {"predictions": []}
        decimal, dates = self._reading.decimal or ".", self._reading.dates
        frame, warnings = signatures.prepare(rows, self.signature, decimal, dates)
        result: dict[str, Any] = {"predictions": learning.tidy(self._model.predict(frame))}
        if self.signature["question"] == Question.CLASSIFICATION:
            result["probabilities"] = self._probabilities(frame)
        return result | ({"warnings": warnings} if warnings else {})

    def _probabilities(self, frame: "pd.DataFrame") -> list[dict[str, float]]:
        classes = [str(name) for name in self._model.classes_]
        shares = self._model.predict_proba(frame)
        return [
            {name: round(float(share), 6) for name, share in zip(classes, row, strict=True)}
            for row in shares
        ]
