"""Writing ``multipart/form-data``, where no HTTP library does it."""

import secrets
from collections.abc import Iterable

from easymlnb.client.messages import FormPart

_ESCAPED = {'"': "%22", "\r": "%0D", "\n": "%0A"}


def encode(form: Iterable[FormPart]) -> tuple[str, bytes]:
    """Return the content type and the body of a form."""
    boundary = secrets.token_hex(16)
    pieces: list[bytes] = []
    for name, (filename, data, media_type) in form:
        file = "" if filename is None else f'; filename="{_quoted(filename)}"'
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"{file}\r\n'
            f"Content-Type: {media_type}\r\n\r\n"
        )
        pieces += (head.encode(), data, b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(pieces)


def _quoted(text: str) -> str:
    return "".join(_ESCAPED.get(char, char) for char in text)
