"""Bodies that a client compressed."""

import zlib

from easymlnb.contract.errors import BadRequest, TooLarge, UnsupportedMediaType

ENCODINGS = ("gzip", "deflate")

EITHER = 32 + zlib.MAX_WBITS
"""Argument of zlib that detects both encodings."""


def inflate(data: bytes, encoding: str, limit: int) -> bytes:
    """Return a body of at most ``limit`` bytes; raises ``BadRequest``, ``TooLarge``, ..."""
    if encoding not in ENCODINGS:
        raise UnsupportedMediaType(f"Content-Encoding {encoding[:40]}", ENCODINGS)
    stream = zlib.decompressobj(EITHER)
    try:
        found = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise BadRequest(f"The body is not valid {encoding}.") from error
    if len(found) > limit:
        raise TooLarge(f"The body is over the limit of {limit:,} bytes once it is unpacked.")
    if not stream.eof or stream.unused_data:
        raise BadRequest(f"The body is not one complete {encoding} stream.")
    return found
