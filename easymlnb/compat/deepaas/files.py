"""Files as DEEPaaS passes them: named tuples, which modules unpack and write as JSON lists."""

from typing import Any, NamedTuple


class UploadedFile(NamedTuple):
    """An uploaded file.

    - ``name``: the argument
    - ``filename``: path of a temporary file
    - ``content_type``: media type
    - ``original_filename``: the sender's name for it
    """

    name: str | None = None
    filename: str | None = None
    content_type: str | None = None
    original_filename: str | None = None


class ReturnedFile(NamedTuple):
    """A file that a model returns; the fields are those of an ``UploadedFile``."""

    name: str | None = None
    filename: str | None = None
    content_type: str | None = None
    original_filename: str | None = None


def is_file(value: Any) -> bool:
    """Return whether a value is one of these, or of the classes of the package ``deepaas``."""
    named = type(value).__name__ in ("UploadedFile", "ReturnedFile")
    return named and hasattr(value, "filename")


def as_list(value: Any) -> list[Any]:
    """Return what clients see of an uploaded file: its argument, media type and name."""
    return [value.name, value.content_type, value.original_filename]
