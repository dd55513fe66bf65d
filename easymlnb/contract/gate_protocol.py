"""What a server asks of the process that runs the quality gate."""

import msgspec

from easymlnb.contract.spec import ServiceSpec


class GateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for the checks of a bundle, or of a notebook that ran.

    - ``bundle``: the path of a zip, or empty.
    - ``notebook``: the path of an executed notebook, with ``specs`` and the number of ``examples``.
    - ``author``, ``admin``: severities by check or rule.
    - ``required``, ``comments``: whether an author can lower severities, and hide findings.
    - ``advisories``: the path of a file with known vulnerabilities, or empty.
    """

    bundle: str = ""
    notebook: str = ""
    specs: tuple[ServiceSpec, ...] = ()
    examples: int = 0
    author: dict[str, str] = {}
    admin: dict[str, str] = {}
    required: bool = False
    comments: bool = True
    advisories: str = ""
