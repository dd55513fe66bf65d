"""Encode Python values for a request: JSON values and files.

Classes are found by name, so nothing is imported for a class that is not used. The schema of the
parameter chooses the form: an array is an image for an image parameter, ``{"b64", "dtype",
"shape"}`` for an array parameter, and a list for all others.
"""

import base64
import dataclasses
import io
import math
import mimetypes
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from easymlnb.contract.jsonschema import Schema, alternatives, hints, properties

ARROW = "application/vnd.apache.arrow.stream"
NPY = "application/x-npy"
LARGE_ARRAY = 2**16
"""Bytes above which an array is sent as a file, which is smaller and faster than text."""
IMAGES = ("image", "webcam")
OWN_FORMS = (*IMAGES, "array", "table", "timeseries", "file", "audio")
"""Widgets of types that encode a list or a dict as a whole."""
_PNG_MODES = {"1", "L", "LA", "I;16", "P", "RGB", "RGBA"}


@dataclasses.dataclass(frozen=True, slots=True)
class FilePart:
    """A file to send; ``name`` is a label for people."""

    data: bytes
    name: str = "file"
    media_type: str = "application/octet-stream"

    def inline(self) -> dict[str, str]:
        """Return the form of a file inside JSON."""
        coded = base64.b64encode(self.data).decode()
        return {"name": self.name, "media_type": self.media_type, "b64": coded}


def encode_arguments(values: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return each value as a JSON value or, at the top level only, as a ``FilePart``.

    Raises ``TypeError`` with the parameter's name for a value that cannot be sent.
    """
    known = properties(schema)
    ready = {}
    for name, value in values.items():
        try:
            ready[name] = _by_schema(value, known.get(name), schema)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from error
    return ready


def _by_schema(value: Any, schema: Any, root: Schema) -> Any:
    """Convert a value by its schema, and its items by the schemas inside."""
    hint = hints(schema, root)
    if hint.get("widget") not in OWN_FORMS:
        found = list(alternatives(schema, root))
        inner = found[0] if len(found) == 1 else {}
        if dataclasses.is_dataclass(value) and not isinstance(value, type | FilePart):
            value = _members(value)
        if isinstance(value, Mapping):
            known, rest = properties(inner), inner.get("additionalProperties")
            return {
                str(key): _inlined(_by_schema(item, known.get(key, rest), root))
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            first = list(inner.get("prefixItems") or ())
            schemas = [*first, *[inner.get("items")] * (len(value) - len(first))]
            pairs = zip(value, schemas, strict=False)
            return [_inlined(_by_schema(item, one, root)) for item, one in pairs]
    return convert(value, hint)


def convert(value: Any, hint: Mapping[str, Any] | None = None) -> Any:
    """Return a value as JSON or as a ``FilePart``; ``hint`` is the parameter's ``x-easymlnb``."""
    hint = hint or {}
    if value is None or isinstance(value, bool | int | str | FilePart):
        return value
    if isinstance(value, float):
        # JSON lacks these numbers; the server accepts the words where it allows the numbers.
        return float(value) if math.isfinite(value) else _word(value)
    if isinstance(value, Mapping):
        return {str(key): _inside(item, hint) for key, item in value.items()}
    if hint.get("widget") in IMAGES and _are_pages(value):
        return _image(list(value))
    if isinstance(value, list | tuple | set | frozenset):
        return [_inside(item, hint) for item in value]
    for kind in type(value).__mro__:
        converter = CONVERTERS.get(f"{kind.__module__.partition('.')[0]}.{kind.__name__}")
        if converter is not None:
            return converter(value, hint)
    return _other(value, hint)


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _inside(value: Any, hint: Mapping[str, Any]) -> Any:
    return _inlined(convert(value, hint))


def _inlined(found: Any) -> Any:
    return found.inline() if isinstance(found, FilePart) else found


def _members(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _other(value: Any, hint: Mapping[str, Any]) -> Any:
    if hasattr(value, "read"):
        return _stream(value, hint)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _inside(item, {}) for name, item in _members(value).items()}
    if hasattr(value, "__array__"):
        import numpy

        return _array(numpy.asarray(value), hint)
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent to a service.")


# files


def _path(value: Any, hint: Mapping[str, Any]) -> FilePart:
    return FilePart(Path(value).read_bytes(), value.name, _guess(value.name))


def _stream(value: Any, hint: Mapping[str, Any]) -> FilePart:
    data = value.read()
    label = getattr(value, "name", "")
    name = Path(label).name if isinstance(label, str) and label else "file"
    return FilePart(data.encode() if isinstance(data, str) else bytes(data), name, _guess(name))


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


# images, arrays, tables


def _image(value: Any) -> FilePart:
    """Write an image or its pages as the server does; raises ``TypeError`` for other values."""
    from easymlnb.types import image_encoding

    try:
        media_type = image_encoding.offers(value)[0]
        data = image_encoding.write(value, media_type)
    except ValueError as error:
        raise TypeError(f"{error}.") from error
    return FilePart(data, "image.png" if media_type == "image/png" else "image.tif", media_type)


def _are_pages(value: Any) -> bool:
    """Return whether a list contains images."""
    if not isinstance(value, list | tuple) or not value:
        return False
    # The attributes of classes: the one of an image would copy all its pixels.
    kinds = set(map(type, value))
    return all(hasattr(one, "__array_interface__") or hasattr(one, "detach") for one in kinds)


def _picture(value: Any, hint: Mapping[str, Any]) -> FilePart:
    from easymlnb.types import image_encoding

    if value.format == "TIFF" and getattr(value, "n_frames", 1) > 1:
        from PIL import ImageSequence

        return _image([page.copy() for page in ImageSequence.Iterator(value)])
    value = image_encoding.upright(value)
    if value.mode not in _PNG_MODES:
        return _image(value)
    buffer = io.BytesIO()
    value.save(buffer, "PNG")
    return FilePart(buffer.getvalue(), "image.png", "image/png")


def _array(value: Any, hint: Mapping[str, Any]) -> Any:
    value = _uncovered(value)
    if value.dtype.kind in "mM":
        return _times(value)
    widget = hint.get("widget")
    if widget in IMAGES:
        return _image(value)
    if widget != "array" or value.dtype.kind not in "biuf":
        return convert(value.tolist())
    if value.nbytes >= LARGE_ARRAY and NPY in hint.get("accept", ()):
        return FilePart(_npy(value), "array.npy", NPY)
    data = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
    return {
        "b64": base64.b64encode(data).decode(),
        "dtype": str(value.dtype.newbyteorder("=")),
        "shape": list(value.shape),
    }


def _uncovered(array: Any) -> Any:
    """Return an array with NaN in place of masked values."""
    if type(array).__module__.partition(".")[0] != "numpy" or not hasattr(array, "mask"):
        return array
    from easymlnb.types.npy import unmasked

    try:
        return unmasked(array)
    except ValueError as error:
        raise TypeError(f"{error}.") from None


def _times(array: Any) -> Any:
    """Return times of numpy as nested text, durations as seconds."""
    import numpy

    if array.dtype.kind == "m":
        seconds = numpy.asarray(array / numpy.timedelta64(1, "s"), dtype="object")
        seconds[numpy.isnat(array)] = None
        return seconds.tolist()
    from easymlnb.types import moments

    return moments.listed(array)


def _npy(array: Any) -> bytes:
    import numpy

    target = io.BytesIO()
    numpy.save(target, array, allow_pickle=False)
    return target.getvalue()


def _tensor(value: Any, hint: Mapping[str, Any]) -> Any:
    if hint.get("widget") in IMAGES:
        return _image(value)
    return _array(value.detach().cpu().numpy(), hint)


def _scalar(value: Any, hint: Mapping[str, Any]) -> Any:
    if value.dtype.kind in "mM":
        import numpy

        return _times(numpy.asarray(value))
    return convert(value.item(), hint)


def _table(value: Any, hint: Mapping[str, Any]) -> Any:
    frame = _flat(value, hint)
    if hint.get("widget") not in ("table", "timeseries"):
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return convert(rows)
    from easymlnb.types import table_encoding

    arrow = ARROW in hint.get("accept", ()) and find_spec("pyarrow")
    if arrow and not (table_encoding.is_loose(frame) and _has_json_types(frame)):
        return FilePart(table_encoding.write_table(frame, ARROW), "table.arrow", ARROW)
    if arrow or any(kind.kind not in "biufM" for kind in frame.dtypes):
        # CSV would not tell the text 7 from the number.
        return FilePart(table_encoding.to_json(frame), "table.json", "application/json")
    decimal = hint.get("decimal") or "."
    separator = hint.get("separator") or ("," if decimal == "." else ";")
    text = frame.to_csv(index=False, sep=separator, decimal=decimal)
    return FilePart(text.encode(), "table.csv", "text/csv")


def _has_json_types(frame: Any) -> bool:
    return all(kind.kind in "biufO" for kind in frame.dtypes)


def _flat(frame: Any, hint: Mapping[str, Any]) -> Any:
    """Return the frame with an index that has information as its first column."""
    from easymlnb.types import table_encoding

    if type(frame.index).__name__ == "DatetimeIndex" and frame.index.name is None:
        wanted = hint.get("time")
        frame = frame.rename_axis(index=wanted if isinstance(wanted, str) else "time")
    try:
        return table_encoding.flatten(frame)
    except ValueError as error:
        raise TypeError(f"{error}.") from None


def _series(value: Any, hint: Mapping[str, Any]) -> Any:
    if hint.get("widget") not in ("table", "timeseries"):
        return convert(value.tolist())
    return _table(value.to_frame(name=value.name if value.name is not None else "value"), hint)


CONVERTERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "PIL.Image": _picture,
    "builtins.bytearray": lambda value, hint: FilePart(bytes(value)),
    "builtins.bytes": lambda value, hint: FilePart(bytes(value)),
    "builtins.memoryview": lambda value, hint: FilePart(bytes(value)),
    "builtins.range": lambda value, hint: list(value),
    "datetime.date": lambda value, hint: value.isoformat(),
    "datetime.time": lambda value, hint: value.isoformat(),
    "datetime.timedelta": lambda value, hint: value.total_seconds(),
    "decimal.Decimal": lambda value, hint: str(value),
    "enum.Enum": lambda value, hint: convert(value.value, hint),
    "numpy.generic": _scalar,
    "numpy.ndarray": _array,
    "pandas.DataFrame": _table,
    "pandas.Interval": lambda value, hint: str(value),
    "pandas.NAType": lambda value, hint: None,
    "pandas.NaTType": lambda value, hint: None,
    "pandas.Period": lambda value, hint: str(value),
    "pandas.Series": _series,
    "pathlib.PurePath": _path,
    "pydantic.BaseModel": lambda value, hint: value.model_dump(mode="json"),
    "torch.Tensor": _tensor,
    "uuid.UUID": lambda value, hint: str(value),
}
"""How to send a class, by the first part of its module and its name."""
