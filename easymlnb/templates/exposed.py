"""A model as a service of its own name: its inputs become parameters, with choices and examples."""

import inspect
import keyword
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from easymlnb.services.definition import Service, define
from easymlnb.templates.column_kinds import ColumnKind
from easymlnb.templates.learning import Predictor
from easymlnb.types.file import File
from easymlnb.types.table import Table

MAX_CHOICES = 50
"""Values of a category up to which they become the only choices."""


def service_of(name: str, predictor: Predictor, title: str = "") -> Service:
    """Return the service of a model, which predicts one row of its signature."""
    signature = predictor.signature
    make = {"forecast": _forecast, "images": _images}.get(signature["template"], _row)
    function, example = make(predictor)
    function.__name__ = function.__qualname__ = name
    target = signature["outputs"][0]["name"]
    return define(
        function,
        name=name,
        title=title or None,
        description=f"Predict {target!r} with a model that was made without code.",
        tags=["model"],
        examples=[example] if example else (),
        timeout=60,
        min_workers=0,
        max_workers=2,
    )


def parameter_names(signature: Mapping[str, Any]) -> dict[str, str]:
    """Return the column of each parameter: names of columns may not be valid in Python."""
    names: dict[str, str] = {}
    for column in signature["inputs"]:
        base = re.sub(r"\W+", "_", column["name"]).strip("_") or "column"
        base = f"_{base}" if base[0].isdigit() or keyword.iskeyword(base) else base
        base = base.lstrip("_") if base.lstrip("_").isidentifier() else f"x{base}"
        name, number = base, 2
        while name in names or keyword.iskeyword(name):
            name, number = f"{base}_{number}", number + 1
        names[name] = column["name"]
    return names


def _row(predictor: Predictor) -> tuple[Any, dict[str, Any]]:
    columns = {column["name"]: column for column in predictor.signature["inputs"]}
    names = parameter_names(predictor.signature)

    def function(**values: Any) -> dict[str, Any]:
        row = {names[name]: _plain(value) for name, value in values.items()}
        return _single(predictor.predict([row]))

    parameters = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=_hint(columns[column], name)
        )
        for name, column in names.items()
    ]
    _sign(function, parameters, dict[str, Any])
    example = {name: columns[column].get("example") for name, column in names.items()}
    return function, example if None not in example.values() else {}


def _sign(function: Any, parameters: list[inspect.Parameter], returns: Any) -> None:
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)
    function.__annotations__ = {one.name: one.annotation for one in parameters}
    function.__annotations__["return"] = returns


def _hint(column: Mapping[str, Any], name: str) -> Any:
    from pydantic import Field

    kind: Any = {ColumnKind.NUMBER: float, ColumnKind.BOOLEAN: bool, ColumnKind.DATE: datetime}.get(
        column["kind"], str
    )
    choices = column.get("choices", [])
    if kind is str and column.get("complete") and 0 < len(choices) <= MAX_CHOICES:
        kind = Literal[tuple(choices)]
    if not column["required"]:
        kind = kind | None
    about = ""
    if "min" in column and column["kind"] == ColumnKind.NUMBER:
        about = f"{column['min']:g} to {column['max']:g} in the training data."
    title = None if name == column["name"] else column["name"]
    return Annotated[kind, Field(title=title, description=about or None)]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _single(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result for the only row."""
    made: dict[str, Any] = {"prediction": result["predictions"][0]}
    if "probabilities" in result:
        made["probabilities"] = result["probabilities"][0]
    if "warnings" in result:
        made["warnings"] = [warning["message"] for warning in result["warnings"]]
    return made


def _forecast(predictor: Predictor) -> tuple[Any, dict[str, Any]]:
    def function(newer: Any = None) -> Any:
        import pandas as pd

        rows = [] if newer is None else newer.to_dict("records")
        result = predictor.predict([{k: _cell(v) for k, v in row.items()} for row in rows])
        target = predictor.signature["outputs"][0]["name"]
        return pd.DataFrame(
            {
                "time": result["times"],
                target: result["predictions"],
                "low": result["low"],
                "high": result["high"],
            }
        )

    hint = Annotated[Table | None, _described("Values since the end of the training data.")]
    newer = inspect.Parameter(
        "newer", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint
    )
    _sign(function, [newer], Table)
    return function, {}


def _described(text: str) -> Any:
    from pydantic import Field

    return Field(description=text)


def _cell(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _images(predictor: Predictor) -> tuple[Any, dict[str, Any]]:
    def function(image: File) -> dict[str, Any]:
        return _single(predictor.predict([{"image": image.data}]))

    hint = Annotated[File, File(accept=["image/*"])]
    image = inspect.Parameter("image", inspect.Parameter.KEYWORD_ONLY, annotation=hint)
    _sign(function, [image], dict[str, Any])
    return function, {}
