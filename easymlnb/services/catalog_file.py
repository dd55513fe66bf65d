"""``ml.read_metadata``: a service's metadata from a file of another catalog."""

import json
import warnings
from pathlib import Path
from typing import Any

from easymlnb.contract import catalog_files, installation
from easymlnb.contract.errors import BadRequest
from easymlnb.contract.metadata import Problem, sentence
from easymlnb.contract.options import named_options

MAX_FILE = 2**20
"""Largest file in bytes."""


@named_options
def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return the metadata in a file of another catalog as arguments of ``ml.service``.

    Fields that cannot be used are left out, with a warning.

    Parameters
    ----------
    path : str or Path
        A JSON or YAML file of AI4OS (``ai4-metadata.yml``), DEEP (``metadata.json``), MLDCAT-AP or
        schema.org.

    Returns
    -------
    dict
        ``title``, ``description``, ``author``, ``license``, ``tags`` and ``metadata``, as far as
        the file has them.

    Raises
    ------
    EasyMLNBError
        The file cannot be read, or is of another kind.

    Examples
    --------
    >>> @ml.service(**ml.read_metadata("ai4-metadata.yml"))
    ... def segment(image: ml.Image) -> ml.Table: ...
    """
    fields, problems = read_fields(Path(path))
    if problems:
        warnings.warn(f"{path}: some metadata are left out. {sentence(problems)}", stacklevel=2)
    return catalog_files.decorator_options(fields)


def read_fields(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Return the fields of ``contract.metadata`` in a file, and those that cannot be used."""
    try:
        return catalog_files.read(_document(path))
    except BadRequest as error:
        raise BadRequest(f"{path}: {error.message}") from error


def _document(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_FILE:
            raise BadRequest(f"The file exceeds the limit of {MAX_FILE // 2**20} MB.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"The file cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        raise BadRequest("The file is not UTF-8 text.") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if packages := installation.missing("yaml"):
        raise BadRequest(f"{installation.install_hint('A YAML file', *packages)}.")
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadRequest("The file is neither valid JSON nor valid YAML.") from error
