"""The arguments of one method: read from a request or from Python values, checked by marshmallow.

An argument is taken from the query, else from the body's form or JSON. Its own location is only a
hint for clients: theirs send the same argument in different places.
"""

import json
import keyword
import mimetypes
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing
from pydantic_core import to_jsonable_python

from easymlnb.compat.deepaas.fields import choices, default, is_file
from easymlnb.compat.deepaas.files import UploadedFile, as_list
from easymlnb.compat.deepaas.files import is_file as is_file_value
from easymlnb.contract.deepaas import DeepaasRequest
from easymlnb.contract.errors import BadRequest, CallerError, DefinitionError, InvalidInput
from easymlnb.contract.file_parameters import matches
from easymlnb.types import multipart, temp_files
from easymlnb.types.base import Upload
from easymlnb.types.file import File
from easymlnb.types.media_types import JSON, choose, strip_parameters
from easymlnb.types.temp_files import safe_filename
from easymlnb.types.uploaded_files import Data

Values = dict[str, Any]

ACCEPT = "accept"
"""The argument whose choices are the media types of the response."""

ANYTHING = "*/*"

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


class Arguments:
    """The arguments of one method.

    - ``fields``: the fields by the name of the argument
    - ``names``: the name of a parameter in Python -> the name of the argument
    - ``accepts``: the media types that a response may have; empty if the model has no choice
    """

    def __init__(self, method: str, declared: Any) -> None:
        self._schema = _schema(declared)
        self.fields: dict[str, fields.Field] = {
            field.data_key or name: field
            for name, field in self._schema.fields.items()
            if not field.dump_only
        }
        self.names = _python_names(method, self.fields)
        accept = self.fields.get(ACCEPT)
        self.accepts: list[str] = [] if accept is None else list(map(str, choices(accept)))

    def default(self, name: str) -> Any:
        """Return the default of an argument; ``None`` if it has none."""
        value = default(self.fields[name])
        return None if value is missing else value

    def load(self, values: Values) -> Values:
        """Check values and return what the model gets; raises marshmallow's ``ValidationError``."""
        if self.accepts and values.get(ACCEPT, ANYTHING) == ANYTHING:
            values = {**values, ACCEPT: self.default(ACCEPT) or self.accepts[0]}
        return dict(self._schema.load(values, unknown=EXCLUDE))

    def from_request(self, request: DeepaasRequest, body: Data) -> Values:
        """Return the checked arguments of a request; raises ``BadRequest`` or ``InvalidInput``."""
        query = parse_qs(request.query, keep_blank_values=True)
        sent = _body(request.content_type, body)
        found: Values = {}
        for name, field in self.fields.items():
            given = query.get(name) or sent.get(name)
            if given:
                found[name] = self._value(name, field, given)
        if self.accepts and ACCEPT not in found and request.accept:
            found[ACCEPT] = self._accepted(request.accept)
        try:
            return self.load(found)
        except ValidationError as error:
            messages = messages_of(error)
            refused = InvalidInput(self.details(messages))
            refused.details = to_jsonable_python(messages, fallback=str)
            raise refused from None

    def from_values(self, given: Mapping[str, Any]) -> Values:
        """Return the checked arguments of a call by Python names; raises ``CallerError``."""
        found: Values = {}
        for python, value in given.items():
            name = self.names[python]
            field = self.fields[name]
            if value is None and (is_file(field) or not field.allow_none):
                continue  # an argument without a value
            if is_file(field):
                found[name] = _as_file(name, value)
            elif value is not None and value == self.default(name):
                continue  # marshmallow does not check its own defaults
            else:
                value = to_jsonable_python(value)
                joined = isinstance(value, list) and hasattr(field, "delimiter")
                found[name] = _joined(field, value) if joined else value
        try:
            return self.load(found)
        except ValidationError as error:
            details = self.details(messages_of(error))
            raise CallerError(InvalidInput(details).message, details=details) from None

    def details(self, messages: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return messages of marshmallow as the details of our own errors."""
        parameters = {name: python for python, name in self.names.items()}
        named = {parameters.get(name, name): value for name, value in messages.items()}
        return list(_flat(named))

    def as_json(self, loaded: Values) -> Values:
        """Return checked arguments as JSON values, as clients see them."""
        return {name: _json_value(value) for name, value in loaded.items()}

    def _value(self, name: str, field: fields.Field, given: list[Any]) -> Any:
        """Return what a request has for an argument, as its field reads it."""
        if is_file(field):
            first = given[0]
            return _as_file(name, first) if isinstance(first, Upload) else first
        values = [_text(value) if isinstance(value, Upload) else value for value in given]
        if isinstance(field, fields.List) and not hasattr(field, "delimiter"):
            only = values[0] if len(values) == 1 else None
            if isinstance(only, list):
                return only
            return _parsed(only, "[") if isinstance(only, str) and only[:1] == "[" else values
        if isinstance(field, fields.Nested | fields.Mapping | fields.Tuple):
            return _parsed(values[0], "[{")
        return values[0]

    def _accepted(self, header: str) -> str:
        """Return the media type for an ``Accept`` header: the default if none fits."""
        preferred = str(self.default(ACCEPT) or self.accepts[0])
        offered = dict.fromkeys((preferred, *self.accepts))
        # A pattern such as image/* stands for each of its types that the header names.
        named = [strip_parameters(item) for item in header.split(",")]
        of_pattern = {
            kind: pattern for pattern in offered for kind in named if matches(kind, pattern)
        }
        chosen = choose(header, (*offered, *of_pattern)) or preferred
        return of_pattern.get(chosen, chosen)


def messages_of(error: ValidationError) -> dict[str, Any]:
    """Return the messages of marshmallow by argument."""
    found: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
    return found


def _schema(declared: Any) -> Schema:
    if isinstance(declared, Schema):
        return declared
    if isinstance(declared, type) and issubclass(declared, Schema):
        return declared()
    return Schema.from_dict(dict(declared or {}), name="Arguments")()


def _python_names(method: str, found: Mapping[str, Any]) -> dict[str, str]:
    """Return names that Python accepts as parameters for those of the arguments."""
    names: dict[str, str] = {}
    for name in found:
        python = re.sub(r"\W", "_", name)
        if not python.isidentifier() or python[:1] == "_":
            python = f"arg_{python}"
        if keyword.iskeyword(python):
            python = f"{python}_"
        if python in names:
            raise DefinitionError(
                f"The arguments {names[python]!r} and {name!r} of {method!r} are both {python!r} "
                "in Python. Rename one of them."
            )
        names[python] = name
    return names


def _body(content_type: str, body: Data) -> dict[str, list[Any]]:
    """Return the values of a body by name; raises ``BadRequest`` or ``InvalidInput``."""
    kind = strip_parameters(content_type)
    if not body:
        return {}
    if kind == MULTIPART:
        parts = multipart.parts_by_name(content_type, body)
        return {name: list(map(_part, values)) for name, values in parts.items()}
    if kind == FORM:
        text = bytes(body).decode("utf-8", "replace")
        return {name: list(values) for name, values in parse_qs(text, True).items()}
    if kind == JSON or kind.endswith("+json"):
        return {name: [value] for name, value in _json_object(body).items()}
    return {}


def _part(part: Upload | multipart.Parsed | str) -> Any:
    return part.value if isinstance(part, multipart.Parsed) else part


def _json_object(body: Data) -> Mapping[str, Any]:
    try:
        values = json.loads(bytes(body))
    except (ValueError, RecursionError):
        error = BadRequest("The body is not valid JSON.")
        error.details = {"json": ["Invalid JSON body."]}
        raise error from None
    return values if isinstance(values, dict) else {}


def _text(upload: Upload) -> str:
    return bytes(upload.data).decode("utf-8", "replace")


def _parsed(value: Any, begins: str) -> Any:
    """Return the value of JSON text; what is not JSON stays as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in tuple(begins):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _joined(field: Any, values: list[Any]) -> str:
    return str(field.delimiter).join(map(str, values))


def _as_file(name: str, value: Any) -> Any:
    """Return a file in any form as what the model gets: a named tuple with a path."""
    if is_file_value(value):
        return value
    if isinstance(value, str | Path):
        path = Path(value)
        return UploadedFile(name, str(path), mimetypes.guess_type(path.name)[0], path.name)
    if isinstance(value, bytes | bytearray):
        value = File(bytes(value), name)
    upload = value.upload() if isinstance(value, File) else value
    label = safe_filename(upload.name) or name
    path = temp_files.create(label, upload.data, upload.path)
    guessed = upload.media_type or mimetypes.guess_type(label)[0] or "application/octet-stream"
    return UploadedFile(name, str(path), guessed, upload.name or label)


def _json_value(value: Any) -> Any:
    if is_file_value(value):
        return as_list(value)
    return to_jsonable_python(value, fallback=str, inf_nan_mode="null")


def _flat(messages: Any, place: str = "") -> Iterator[dict[str, str]]:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from _flat(inner, f"{place}.{name}".lstrip("."))
        return
    found = messages if isinstance(messages, list) else [messages]
    yield {"field": place, "message": " ".join(map(str, found))}
