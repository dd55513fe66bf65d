"""The columns or tensors that a model takes and returns, in MLflow's words."""

import json
from typing import Any

EXAMPLE_FILE = "input_example.json"
EXAMPLE_ROWS = 5

_KINDS = {"b": "boolean", "i": "long", "u": "long", "f": "double", "M": "datetime"}


def signature_of(example: Any, result: Any = None) -> dict[str, Any] | None:
    """Return the signature of an example of the input, and of the result for it if there is one.

    ``None`` if the example is neither a table nor an array.
    """
    inputs = _described(example)
    if inputs is None:
        return None
    outputs = _described(result) if result is not None else None
    return {"inputs": inputs} | ({"outputs": outputs} if outputs is not None else {})


def example_json(example: Any) -> bytes | None:
    """Return the first rows of a table or array as JSON, as MLflow stores them; else ``None``."""
    if hasattr(example, "columns") and hasattr(example, "to_json"):
        rows = json.loads(example.head(EXAMPLE_ROWS).to_json(orient="split", date_format="iso"))
        rows.pop("index", None)
        return json.dumps(rows).encode()
    if hasattr(example, "tolist") and getattr(example, "shape", None):
        return json.dumps({"inputs": example[:EXAMPLE_ROWS].tolist()}).encode()
    return None


def _described(value: Any) -> list[dict[str, Any]] | None:
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        return [
            {"type": _kind(value[name].dtype), "name": str(name), "required": True}
            for name in value.columns
        ]
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None:
        return None
    text = str(dtype).removeprefix("torch.")
    sizes = [-1, *(int(size) for size in shape[1:])]
    return [{"type": "tensor", "tensor-spec": {"dtype": text, "shape": sizes}}]


def _kind(dtype: Any) -> str:
    kind = _KINDS.get(getattr(dtype, "kind", "O"), "string")
    size = getattr(dtype, "itemsize", 8)
    if kind == "long":
        return "long" if size > 4 else "integer"
    if kind == "double":
        return "double" if size > 4 else "float"
    return kind
