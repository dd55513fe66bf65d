"""Credentials from a folder with one file each, as clusters mount secrets."""

from collections.abc import Mapping
from pathlib import Path

from easymlnb.contract.errors import BadRequest, StorageUnusable
from easymlnb_server.credentials.rules import NAME, check_value


def read_mounted(folder: str) -> Mapping[str, str]:
    """Return the values by the names of the files; none without a folder.

    Files of other names are ignored, such as the links that Kubernetes makes. A line break at the
    end is not part of a value. Raises ``StorageUnusable``.
    """
    if not folder:
        return {}
    values: dict[str, str] = {}
    try:
        for file in sorted(Path(folder).iterdir()):
            if NAME.match(file.name) and file.is_file():
                text = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
                values[file.name] = check_value(text)
    except (OSError, UnicodeDecodeError, BadRequest) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StorageUnusable(
            f"The credentials in EasyMLNB.credentials_folder ({folder}) cannot be read: {reason}"
        ) from error
    return values
