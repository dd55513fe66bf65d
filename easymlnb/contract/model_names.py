"""Names of models, their versions and aliases: ``forest@production``, ``models:/forest/3``."""

import re
from urllib.parse import quote

from easymlnb.contract.errors import BadRequest, ModelNotFound

MODEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}\Z")
ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}\Z")

LATEST = "latest"
"""In place of an alias: the version with the highest number."""

_URI = "models:/"


def split_reference(text: str, version: int | str | None = None) -> tuple[str, str]:
    """Return the name of a model, and the number or alias of a version.

    ``text`` is ``name``, ``name@alias``, ``name@3``, or MLflow's ``models:/name@alias`` and
    ``models:/name/3``. Without a version it is ``LATEST``. Raises ``BadRequest``.
    """
    plain = text.removeprefix(_URI)
    name, at, given = plain.rpartition("@")
    if not at or "/" in given:  # the @ is part of the owner's name
        at, name, given = "", plain, ""
    if not at:
        before, _, last = name.rpartition("/")
        if text.startswith(_URI) and before and (last.isdigit() or last == LATEST):
            name, given = before, last
    if version is not None:
        if given and given != str(version):
            raise BadRequest(f"{text!r} names the version {given!r}, and version={version!r} too.")
        given = str(version)
    check(name)
    given = given or ("" if at else LATEST)
    if not (ALIAS.match(given) or (given.isascii() and given.isdigit() and int(given))):
        raise BadRequest(f"Invalid version {given[:80]!r} of a model: use a number or an alias.")
    return name, given


def check(name: str) -> str:
    """Return the name of a model, with or without its owner; raises ``ModelNotFound``."""
    owner, slash, short_name = name.rpartition("/")
    valid = not slash or (owner.isprintable() and "/" not in owner and owner.strip("."))
    if not valid or not MODEL.match(short_name):
        raise ModelNotFound(name)
    return name


def url_path(name: str, *more: str) -> str:
    """Return the path of a model's route; raises ``ModelNotFound`` for an invalid name."""
    return "/".join(["models", quote(check(name), safe="/"), *(quote(part) for part in more)])
