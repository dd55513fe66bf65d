"""How files and pages are compressed: well, in advance, or fast, for each response."""

import gzip
from collections.abc import Callable, Collection, Mapping
from functools import partial

import brotli

Encode = Callable[[bytes], bytes]

BEST: Mapping[str, Encode] = {
    "br": partial(brotli.compress, quality=11),
    "gzip": partial(gzip.compress, compresslevel=9),
}
"""By the names in ``Accept-Encoding``, the preferred one first."""

FAST: Mapping[str, Encode] = {
    "br": partial(brotli.compress, quality=5),
    "gzip": partial(gzip.compress, compresslevel=5),
}
"""The same, within milliseconds."""


def best_encoding(accepted: str, available: Collection[str]) -> str:
    """Return the preferred encoding that an ``Accept-Encoding`` header allows, "" for none."""
    names = {part.partition(";")[0].strip() for part in accepted.split(",")}
    return next((name for name in BEST if name in names and name in available), "")
