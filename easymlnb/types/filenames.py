"""Sanitize names of files, which are shown and suggested but never opened."""

import re
import unicodedata

MAX = 120
"""Longest label in characters."""

SEPARATORS = re.compile(r"[\\/]")
FORBIDDEN = re.compile(r'[<>:"|?*]')


def safe_filename(name: str) -> str:
    """Return the last part of ``name`` without control characters, cut to ``MAX`` characters.

    An empty string means that nothing of the name can be used.
    """
    last = SEPARATORS.split(name)[-1]
    # Categories C* are control, format (right-to-left overrides) and surrogate characters.
    clean = "".join(char for char in last if not unicodedata.category(char).startswith("C"))
    clean = FORBIDDEN.sub("_", clean).strip().strip(".").strip()
    if len(clean) <= MAX:
        return clean
    stem, dot, ending = clean.rpartition(".")
    if not dot or len(ending) > 10:
        return clean[:MAX]
    return f"{stem[: MAX - len(ending) - 1]}.{ending}"
