"""Files: bytes with a name and a media type, in memory or in a temporary file."""

import io
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from easymlnb.contract.file_parameters import accepts
from easymlnb.types import inline_bytes, temp_files
from easymlnb.types.base import KEY, Type, Upload, is_a
from easymlnb.types.inline_bytes import OCTETS
from easymlnb.types.temp_files import safe_filename
from easymlnb.types.uploaded_files import Data, contents

SHOWN_AS = {
    "image/png": "image",
    "image/jpeg": "image",
    "image/webp": "image",
    "image/gif": "image",
}
"""Kinds of view parts by media type; other files are downloads."""


class File(Type):
    """A file, as a hint and as a value.

    As a hint, alone or in ``Annotated``, the function gets a ``File``, ``bytes`` or a ``Path`` to a
    temporary copy, as annotated. As a value, ``File(data, name, media_type)`` is what a function
    gets or returns. A large file is read when ``data`` is; ``open()`` and ``path`` do not read it
    into memory.

    Parameters
    ----------
    data : bytes or str
        Content of a value.
    name : str, default ""
        File name; a label, without folders.
    media_type : str, optional
        Default: guessed from the name, else ``application/octet-stream``.
    accept : sequence of str, optional
        Accepted extensions (``".csv"``) and media types (``"image/*"``). Default: any.
    max_bytes : int, default 104857600
        Largest accepted size.
    """

    source: ClassVar[Any]
    natives: ClassVar[tuple[str, ...]] = ("pathlib.Path", "builtins.bytes", "builtins.bytearray")
    widget: ClassVar[str] = "file"

    def __init__(
        self,
        data: bytes | str = b"",
        name: str = "",
        media_type: str = "",
        *,
        accept: tuple[str, ...] | list[str] = (),
        max_bytes: int = inline_bytes.MAX_BYTES,
    ) -> None:
        self._data: Data = data.encode() if isinstance(data, str) else bytes(data)
        self._path: Path | None = None
        self.name = safe_filename(name)
        self.media_type = media_type or inline_bytes.guess(self.name) or OCTETS
        self.accept = tuple(accept)
        self.max_bytes = max_bytes

    reads: tuple[str, ...] = ("*/*",)
    writes: tuple[str, ...] = (OCTETS,)

    @classmethod
    def of_upload(cls, upload: Upload) -> "File":
        """Return an upload as a file, without reading a large one."""
        file = cls(b"", upload.name, upload.media_type)
        file._data, file._path = upload.data, upload.path
        return file

    def upload(self) -> Upload:
        """Return the file as an upload."""
        return Upload(self._data, self.name, self.media_type, self._path)

    @property
    def data(self) -> bytes:
        """All bytes of the file."""
        if not isinstance(self._data, bytes):
            self._data = bytes(self._data)
        return self._data

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self._data)

    @property
    def path(self) -> Path:
        """Path of a temporary file with the content and name; valid until the call ends."""
        return temp_files.create(self.name or "file", self._data, self._path)

    def open(self) -> BinaryIO:
        """Open the file for reading; close it, or use ``with``."""
        return io.BytesIO(self._data) if isinstance(self._data, bytes) else self.path.open("rb")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, File) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return type(self), self.data, self.name, self.media_type, self.accept, self.max_bytes

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self.name!r}, {self.media_type}, {self.size} bytes>"

    def json_schema(self) -> dict[str, Any]:
        accept = list(self.accept or self.reads)
        return {
            **inline_bytes.SCHEMA,
            KEY: {"widget": self.widget, "accept": accept, "max_bytes": self.max_bytes},
        }

    def decode(self, value: Any, source: Any) -> Any:
        if isinstance(value, File):
            upload: Upload | None = value.upload()
        else:
            upload = inline_bytes.to_upload(value, self.max_bytes)
        if upload is None:
            raise ValueError(
                "The value must be a file: a data URI, base64 text, or an object with 'b64'."
            )
        if not accepts(self.accept, upload.name, upload.media_type):
            raise ValueError(f"The file must have one of these types: {', '.join(self.accept)}.")
        if is_a(source, "pathlib.Path"):
            return temp_files.create(upload.name or "file", upload.data, upload.path)
        if is_a(source, "builtins.bytes"):
            return bytes(upload.data)
        if is_a(source, "builtins.bytearray"):
            return bytearray(upload.data)
        return type(self).of_upload(upload)

    def encode(self, value: Any) -> Any:
        file = self.file(value)
        return {
            "b64": inline_bytes.encode64(file.data),
            "name": file.name,
            "media_type": file.media_type,
        }

    def file(self, value: Any) -> "File":
        """Return a result (``File``, ``bytes``, a path) as a file; raises ``ValueError``."""
        if isinstance(value, File):
            return value
        if isinstance(value, bytes | bytearray):
            return type(self)(bytes(value))
        if isinstance(value, Path):
            try:
                return self.of_upload(Upload(contents(value), safe_filename(value.name)))
            except OSError as error:
                # Callers must not see the path.
                raise ValueError(f"the file cannot be read ({error.strerror})") from None
        raise ValueError(f"{type(value).__name__} is not a file")

    def write(self, value: Any, media_type: str) -> Data:
        return self.file(value)._data

    def offers(self, value: Any) -> tuple[str, ...]:
        own = self.file(value).media_type
        return tuple(dict.fromkeys((own, *self.writes)))

    def filename(self, value: Any, media_type: str) -> str:
        return self.file(value).name

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        file = self.file(value)
        kind = SHOWN_AS.get(file.media_type, "file")
        if file.media_type.startswith("audio/"):
            kind = "audio"
        return [part(kind, title, file.data, file.media_type, file.name)]


def as_upload(value: Any, max_bytes: int) -> Upload | None:
    """Return the bytes in a value as ``inline_bytes.to_upload`` does, also those of a ``File``."""
    return inline_bytes.to_upload(value.upload() if isinstance(value, File) else value, max_bytes)


def part(kind: str, title: str, data: bytes, media_type: str, name: str) -> dict[str, Any]:
    """Return a part of a view with bytes."""
    return {
        "kind": kind,
        "title": title,
        "data": inline_bytes.encode64(data),
        "media_type": media_type,
        "name": name or "file",
    }


class Audio(File):
    """An audio file: uploaded or recorded as an input, played as a result. It is not decoded.

    It is a hint and a value; parameters are those of ``File``.
    """

    widget = "audio"
    natives = ()
    reads = ("audio/*",)


# A class cannot name itself in its own body.
File.source = File
Audio.source = Audio
