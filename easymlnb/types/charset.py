"""Decode text by its declared charset and its byte order mark."""

import codecs

from easymlnb.types.uploaded_files import Data

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # UTF-32 first: its mark begins with the one of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; as in browsers, they take precedence over a declared charset."""

NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})
"""Python's text codecs that are not encodings of files."""


def decode(data: Data, charset: str = "") -> str:
    """Return the text without its byte order mark; raises ``ValueError`` with advice."""
    head = bytes(data[:4])
    name = next(
        (name for bom, name in BYTE_ORDER_MARKS if head.startswith(bom)), charset or "utf-8"
    )
    try:
        if codecs.lookup(name).name.replace("-", "_") in NO_CHARSETS:
            raise LookupError(name)
        text = str(data, name)
    except LookupError:
        raise ValueError(
            f"Unknown charset {charset[:40]!r}. Use a charset such as utf-8 or windows-1252."
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(_invalid_text(error, charset)) from None
    except UnicodeError:
        raise ValueError(f"The data is not valid text in {name}.") from None
    if "\0" in text:
        raise ValueError(
            "The data is not text because it contains NUL characters. UTF-16 requires a byte "
            "order mark, or '; charset=utf-16-le' in the content type."
        )
    return text


def _invalid_text(error: UnicodeDecodeError, charset: str) -> str:
    if charset:
        return (
            f"The data is not valid text in {charset}, the charset of its content type (byte "
            f"{error.start})."
        )
    return (
        f"The data is not valid UTF-8 text (byte {error.start}). Save the file as UTF-8, or set "
        "the encoding in the content type, such as 'text/csv; charset=windows-1252'."
    )
