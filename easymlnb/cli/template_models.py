"""``easymlnb models create``, ``retrain``, ``predict`` and ``look``: models without code."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import publishing_client
from easymlnb.cli.options import ANY_SERVER, CommandTarget
from easymlnb.contract.errors import BadRequest

Name = Annotated[str, typer.Argument(help="The model's name.", metavar="NAME")]
Data = Annotated[
    Path, typer.Argument(help="CSV, JSON, Parquet or zip.", metavar="FILE", exists=True)
]
NewData = Annotated[
    Path | None,
    typer.Argument(help="Other data; default: the previous data.", metavar="FILE", exists=True),
]
TemplateName = Annotated[str, typer.Option(help="tabular, forecast or images.")]
Algorithm = Annotated[str, typer.Option(help="compare, linear, forest, boosting or baseline.")]
Choices = Annotated[
    list[str] | None,
    typer.Option("--set", help="Another choice, such as horizon=24; may be repeated."),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the training.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the group of models."""
    for command in (create, look, predict, retrain):
        app.command()(ANY_SERVER(command))


def look(
    target: CommandTarget,
    data: Data,
    template: TemplateName = "tabular",
    predicts: Annotated[str, typer.Option("--target", help="The column to predict.")] = "",
    choice: Choices = None,
) -> None:
    """Describe a file before a model is made from it."""
    choices = _choices(predicts, "", choice)
    with publishing_client(target) as client:
        found = client.templates.look(data, template, **choices)
    if target.json:
        output.as_json(found)
        return
    columns = {"name": "COLUMN", "kind": "KIND", "missing": "MISSING", "unique": "VALUES"}
    output.table(found["columns"], columns)
    output.message(f"{found['rows']} rows. Could be predicted: {found['target'] or 'nothing'}.")
    for finding in found.get("findings", []):
        output.message(f"{finding['level']}: {finding['message']}")


def create(
    target: CommandTarget,
    name: Name,
    data: Data,
    predicts: Annotated[str, typer.Option("--target", help="The column to predict.")] = "",
    template: TemplateName = "tabular",
    algorithm: Algorithm = "",
    choice: Choices = None,
    wait: Wait = True,
) -> None:
    """Make a model from a file, and train its first version."""
    choices = _choices(predicts, algorithm, choice)
    with publishing_client(target) as client:
        made = client.templates.create(name, data, template, **choices)
        _follow(client, made, target, wait=wait)


def retrain(
    target: CommandTarget,
    name: Name,
    data: NewData = None,
    predicts: Annotated[str, typer.Option("--target", help="Another column to predict.")] = "",
    algorithm: Algorithm = "",
    choice: Choices = None,
    wait: Wait = True,
) -> None:
    """Train a model again, with other data or choices; it gets a new version."""
    choices = _choices(predicts, algorithm, choice)
    with publishing_client(target) as client:
        made = client.templates.retrain(name, data, **choices)
        _follow(client, made, target, wait=wait)


def predict(
    target: CommandTarget,
    name: Name,
    rows: Annotated[
        str, typer.Argument(help="JSON: a row or a list of rows; or @FILE.", metavar="ROWS")
    ] = "[]",
    version: Annotated[int, typer.Option(min=0, help="Default: the production version.")] = 0,
) -> None:
    """Predict rows with a model."""
    with publishing_client(target) as client:
        found = client.templates.predict(name, _rows(rows), version)
    if target.json:
        output.as_json(found)
        return
    for value in found["predictions"]:
        output.line(str(value))
    for warning in found.get("warnings", []):
        output.message(f"Row {warning['row']}: {warning['message']}")


def _rows(text: str) -> list[Any]:
    given = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
    try:
        rows = json.loads(given)
    except ValueError as error:
        raise BadRequest(f'The rows must be JSON, such as [{{"area": 120}}]: {error}') from error
    return rows if isinstance(rows, list) else [rows]


def _choices(target: str, algorithm: str, more: list[str] | None) -> dict[str, Any]:
    choices: dict[str, Any] = {}
    for text in more or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadRequest(f"--set must be NAME=VALUE, such as horizon=24, not {text!r}.")
        try:
            choices[name] = json.loads(value)
        except ValueError:
            choices[name] = value
    if target:
        choices["target"] = target
    if algorithm:
        choices["algorithm"] = algorithm
    return choices


def _follow(client: Any, made: dict[str, Any], target: CommandTarget, *, wait: bool) -> None:
    training = made["training"]
    if training is not None and wait:
        job = client.jobs[training["id"]]
        with output.progress(f"Training {made['name']}") as draw:
            for event in job.events():
                if draw is not None and event["kind"] == "progress":
                    draw(event["fraction"], event["text"])
        job.result()
        made = client.templates.get(made["name"])
    if target.json:
        output.as_json(made)
    else:
        output.message(f"Page: {made['page']}")
        output.line(made["predict"])
