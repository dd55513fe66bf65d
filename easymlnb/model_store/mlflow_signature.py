"""What a model of MLflow takes, as the parameters of a function."""

import json
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from easymlnb.contract.errors import ModelUnsupported

KINDS = {
    "boolean": "bool",
    "integer": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "string": "str",
    "datetime": "datetime",
}
"""Our kinds of columns for MLflow's types; columns of other types can have any values."""

NARROW = {"integer": "int32", "float": "float32"}
"""Types of columns that MLflow does not make from wider numbers."""

PLAIN = {"bool": "bool", "int": "int", "float": "float", "str": "str"}
"""Types of a parameter for the kinds of columns."""

TABLE, TENSORS, VALUES = "table", "tensors", "values"


@dataclass(frozen=True, slots=True)
class ModelParameter:
    """A parameter of the function: its name in the model, in Python, its hint and default."""

    given: str
    name: str
    hint: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The parameters of the function that calls a model.

    - ``kind``: one table, tensors by name, or a list of values
    - ``main``: the table, the tensors or the list; tensors without names have ``given == ""``
    - ``params``: the model's own parameters
    - ``casts``: types of columns that MLflow does not convert
    """

    kind: str
    main: tuple[ModelParameter, ...]
    params: tuple[ModelParameter, ...] = ()
    casts: dict[str, str] = field(default_factory=dict)


def read_signature(signature: Any) -> ModelInput:
    """Return the parameters for a signature of an MLmodel; any table without one."""
    described = signature if isinstance(signature, Mapping) else {}
    columns = _parsed(described, "inputs")
    params = tuple(_params(_parsed(described, "params"), taken={"data", "x"}))
    if not columns:
        return ModelInput(TABLE, (ModelParameter("", "data", "ml.Table"),), params)
    if all(one.get("type") == "tensor" for one in columns):
        names = {one.name for one in params}
        return ModelInput(TENSORS, tuple(_tensors(columns, names)), params)
    if any(one.get("type") == "tensor" for one in columns):
        raise ModelUnsupported(
            "The model's signature has both columns and tensors, which no table can hold."
        )
    if all("name" not in one for one in columns):
        kind = KINDS.get(str(columns[0].get("type")), "")
        hint = f"list[{PLAIN[kind]}]" if len(columns) == 1 and kind in PLAIN else "ml.Table"
        return ModelInput(
            VALUES if hint != "ml.Table" else TABLE, (ModelParameter("", "data", hint),), params
        )
    wanted = {
        str(one["name"]): KINDS.get(str(one.get("type")), "any")
        for one in columns
        if one.get("required", True)
    }
    casts = {
        str(one["name"]): NARROW[one["type"]]
        for one in columns
        if one.get("type") in NARROW and one.get("required", True)
    }
    hint = f"Annotated[pd.DataFrame, ml.Table(columns={wanted!r})]" if wanted else "ml.Table"
    return ModelInput(TABLE, (ModelParameter("", "data", hint),), params, casts)


def _parsed(signature: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    text = signature.get(name)
    if not isinstance(text, str):
        return []
    try:
        found = json.loads(text, parse_constant=refuse_constant)
    except ValueError as error:
        raise ModelUnsupported(f"The {name} of the model's signature are not JSON.") from error
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ModelUnsupported(f"The {name} of the model's signature are not a list of objects.")
    return found


def refuse_constant(text: str) -> float:
    """Raise ``ValueError`` for NaN and infinity, which code cannot write as they are."""
    raise ValueError(text)


def _tensors(columns: list[dict[str, Any]], taken: set[str]) -> Iterator[ModelParameter]:
    for one in columns:
        given = str(one.get("name") or "")
        spec = one.get("tensor-spec") or {}
        dtype = str(spec.get("dtype", ""))
        sizes = [None if size == -1 else int(size) for size in spec.get("shape") or ()]
        shape = ", ".join(map(repr, sizes)) + ("," if len(sizes) == 1 else "")
        numeric = re.fullmatch(r"(bool|u?int\d+|float\d+)", dtype)
        hint = f"Annotated[np.ndarray, ml.Array({dtype!r}, ({shape}))]" if numeric else "list"
        name = identifier(given or "x", taken)
        taken.add(name)
        yield ModelParameter(given, name, hint)


def _params(found: list[dict[str, Any]], taken: set[str]) -> Iterator[ModelParameter]:
    for one in found:
        given = str(one.get("name", ""))
        kind = PLAIN.get(KINDS.get(str(one.get("type")), ""), "")
        hint = kind or "Any"
        if one.get("shape"):
            hint = f"list[{hint}]"
        default = one.get("default")
        if kind and isinstance(default, int) and kind == "float":
            default = float(default)
        name = identifier(given, taken)
        taken.add(name)
        yield ModelParameter(
            given, name, hint if default is not None else f"{hint} | None", f"{default!r}"
        )


def identifier(text: str, taken: set[str]) -> str:
    """Return a name for Python that is not taken."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_") or "x"
    if name[0].isdigit() or keyword.iskeyword(name):
        name = f"x_{name}"
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
