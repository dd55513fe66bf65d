"""What a service is, as data: the record that travels from kernel to server and to every reader."""

import re
from typing import Any

import msgspec

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")

MAX_BODY = 100 * 2**20
"""Default limit of a call's body in bytes."""

VIEW = "application/vnd.easymlnb.view+json"
"""Media type of what a person should see of a result (``docs/reference/views.md``)."""


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A service under its name, with its schema and metadata.

    ``input`` is the JSON Schema (2020-12) of the object of parameters, ``output`` that of the
    result; both carry ``x-easymlnb`` hints for widgets. ``accepts`` names the media types that
    may be sent raw, as the whole body, in place of JSON; ``produces`` those that ``Accept`` may
    ask for beside JSON. ``examples`` are input objects, encoded as JSON values.
    """

    name: str
    title: str
    input: dict[str, Any]
    output: dict[str, Any]
    description: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    license: str = ""
    examples: tuple[dict[str, Any], ...] = ()
    accepts: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    stream: bool = False
    view: bool = False
    timeout: float = 30.0
    workers: int = 1
    placement: str = "local"
    public: bool = False
    max_body: int = MAX_BODY

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; defaults are left out."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ServiceSpec":
        """Read what ``to_dict`` wrote; raises ``msgspec.ValidationError`` on anything else."""
        return msgspec.convert(data, cls)
