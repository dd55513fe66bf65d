"""Decode responses into Python objects, by the output schema and the installed packages.

Without pillow an image stays bytes, without numpy an array stays a list, without pandas a table
stays records: nothing here is needed for plain values.
"""

import base64
import binascii
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from easymlnb.client.encoding import ARROW, IMAGES, NPY
from easymlnb.contract.jsonschema import Schema, alternatives, hints, properties

JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"
NO_LIMIT = 2**62
"""Pixels of a result: the caller requested them."""


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """A file that a service returned. ``name`` is a label; do not use it as a path."""

    data: bytes = field(repr=False)
    name: str = "file"
    media_type: str = "application/octet-stream"

    def save(self, path: str | Path) -> Path:
        """Write the file to ``path``, or under its own name when ``path`` is a folder."""
        target = Path(path)
        if target.is_dir():
            target = target / (Path(self.name.replace("\\", "/")).name or "file")
        target.write_bytes(self.data)
        return target


def accept(output: Schema, produces: tuple[str, ...]) -> str:
    """Return the best ``Accept`` header for a result: binary where this client can decode it.

    JSON is accepted, too, because an optional result may be ``None``.
    """
    wanted = _binary(hints(output, output).get("widget"), produces)
    return f"{wanted}, {JSON};q=0.1" if wanted else ""


def _binary(widget: Any, produces: tuple[str, ...]) -> str:
    if widget in IMAGES:
        # Only the service knows which of them preserves the values.
        some = any(media.startswith("image/") for media in produces)
        return "image/*" if some and find_spec("PIL") and find_spec("numpy") else ""
    if widget == "array" and NPY in produces and find_spec("numpy"):
        return NPY
    if widget in ("table", "timeseries") and ARROW in produces:
        return ARROW if find_spec("pyarrow") and find_spec("pandas") else ""
    return ""


def decode(content_type: str, body: bytes, output: Schema, name: str = "") -> Any:
    """Return the Python value of a response's body; ``name`` is the file name that came with it."""
    media = content_type.partition(";")[0].strip().lower()
    if not body and media in ("", "application/json"):
        return None
    if media == "application/json" or media.endswith("+json"):
        return revive(json.loads(body), output)
    reader = READERS.get(media) or READERS.get(media.partition("/")[0])
    if reader is not None and hints(output, output).get("widget") not in ("file", "audio"):
        try:
            return reader(body)
        except ValueError:
            if reader is not _picture:
                raise
            # A picture that is not made of pixels stays a file.
    return DownloadedFile(body, name or "file", media)


def revive(value: Any, schema: Any, root: Schema | None = None) -> Any:
    """Return a JSON value with images, arrays, tables and files as objects, as ``schema`` says."""
    root = schema if root is None else root
    if value is None or not isinstance(root, Mapping):
        return value
    maker = MAKERS.get(str(hints(schema, root).get("widget")))
    if maker is not None:
        try:
            return maker(value)
        except (ValueError, TypeError, KeyError, OSError):
            return value  # the value does not match the schema
    found = list(alternatives(schema, root))
    inner = found[0] if len(found) == 1 else {}
    if isinstance(value, dict):
        known = properties(inner)
        rest = inner.get("additionalProperties")
        return {key: revive(item, known.get(key, rest), root) for key, item in value.items()}
    if isinstance(value, list):
        first = inner.get("prefixItems") or []
        schemas = [*first, *[inner.get("items")] * (len(value) - len(first))]
        pairs = zip(value, schemas, strict=False)
        return [revive(item, one, root) for item, one in pairs]
    return value


def _unpack(value: Any) -> tuple[bytes, str, str]:
    """Return data, media type and name of a file from one of its JSON forms."""
    if isinstance(value, Mapping):
        kind = str(value.get("media_type") or "application/octet-stream")
        return base64.b64decode(value["b64"]), kind, str(value.get("name") or "file")
    head, comma, coded = str(value).partition(",")
    if comma and head.startswith("data:"):
        kind = head.removeprefix("data:").partition(";")[0]
        return base64.b64decode(coded), kind or "application/octet-stream", "file"
    try:
        return base64.b64decode(str(value), validate=True), "application/octet-stream", "file"
    except binascii.Error as error:
        raise ValueError("not a file") from error


def _file(value: Any) -> DownloadedFile:
    data, kind, name = _unpack(value)
    return DownloadedFile(data, name, kind)


def _image(value: Any) -> Any:
    return _picture(_unpack(value)[0])


def _picture(data: bytes) -> Any:
    """Return a Pillow image, or an array where Pillow has no mode for it; a list for pages."""
    if not (find_spec("PIL") and find_spec("numpy")):
        return data
    from easymlnb.types import tiff
    from easymlnb.types.image import Image

    if tiff.is_tiff(data):
        pages = Image(pages=True, max_pixels=NO_LIMIT).open(data)
        if len(pages) > 1:
            return pages
    return Image(max_pixels=NO_LIMIT).open(data)


def _array(value: Any) -> Any:
    if not find_spec("numpy"):
        return value
    import numpy

    if not isinstance(value, Mapping):
        return numpy.array(value)
    data = base64.b64decode(value["b64"])
    return numpy.frombuffer(data, value["dtype"]).reshape(value["shape"]).copy()


def _npy(data: bytes) -> Any:
    import numpy

    return numpy.load(io.BytesIO(data), allow_pickle=False)


def _table(value: Any) -> Any:
    if not find_spec("pandas"):
        return value
    import pandas

    from easymlnb.types import column_inference

    if isinstance(value, Mapping) and {"columns", "data"} <= set(value):
        frame = pandas.DataFrame(value["data"], columns=value["columns"], dtype="object")
    else:
        frame = pandas.DataFrame(value, dtype="object")
    for name in frame.columns if frame.columns.is_unique else ():
        # pandas would round whole numbers in a column with gaps.
        frame[name] = column_inference.infer_from_json(frame[name])
    return frame


def _csv(data: bytes) -> Any:
    if not find_spec("pandas"):
        return data.decode()
    from easymlnb.types import delimited

    text = data.decode("utf-8-sig", errors="replace")
    try:
        return delimited.read(text, delimited.DelimitedOptions(2**62))
    except ValueError:
        return text  # not a table


def _arrow(data: bytes) -> Any:
    if not find_spec("pyarrow"):
        return data
    import pyarrow  # type: ignore[import-untyped]

    from easymlnb.types import table_encoding

    with pyarrow.ipc.open_stream(data) as reader:
        return table_encoding.from_arrow(reader.read_all())


MAKERS: dict[str, Callable[[Any], Any]] = {
    "array": _array,
    "audio": _file,
    "file": _file,
    "image": _image,
    "webcam": _image,
    "table": _table,
    "timeseries": _table,
}
"""How to decode a JSON value, by the widget of its schema."""


def _parquet(data: bytes) -> Any:
    if not find_spec("pyarrow") or not find_spec("pandas"):
        return DownloadedFile(data, "table.parquet", PARQUET)
    import pandas as pd

    return pd.read_parquet(io.BytesIO(data))


READERS: dict[str, Callable[[bytes], Any]] = {
    ARROW: _arrow,
    NPY: _npy,
    "image": _picture,
    "text": lambda data: data.decode(errors="replace"),
    "text/csv": _csv,
    PARQUET: _parquet,
}
"""How to decode other bodies, by their media type or its first part."""
