"""The gate as a process of a server: ``python -m easymlnb.publishing.gate`` for one bundle.

Reads a ``Request`` as JSON from stdin and writes a ``QualityReport``, or an error, to stdout.
"""

import resource
import sys
from pathlib import Path

import msgspec

from easymlnb.contract.bundle import open_bundle
from easymlnb.contract.errors import BadRequest, EasyMLNBError, GateUnavailable
from easymlnb.contract.gate_protocol import GateRequest
from easymlnb.contract.quality import QualityReport
from easymlnb.publishing.gate.run import Rules, check_bundle, check_executed

MEMORY = 4 * 2**30
"""Address space in bytes; each tool is another process with the same limit."""


def main() -> int:
    """Answer the request on stdin."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=GateRequest)
    try:
        sys.stdout.buffer.write(msgspec.json.encode(answer(request)))
    except EasyMLNBError as error:
        sys.stdout.buffer.write(msgspec.json.encode(error.to_dict()))
    return 0


def answer(request: GateRequest) -> QualityReport:
    """Return the report for a request."""
    rules = Rules(
        author=request.author,
        admin=request.admin,
        required=request.required,
        comments=request.comments,
    )
    if request.notebook:
        notebook = msgspec.json.decode(Path(request.notebook).read_bytes())
        return check_executed(notebook["cells"], request.specs, rules, request.examples)
    advisories = Path(request.advisories) if request.advisories else None
    try:
        return check_bundle(open_bundle(Path(request.bundle)), rules, advisories=advisories)
    except BadRequest as error:
        sys.stderr.write(f"{error.message}\n")  # the server's log has the path
        raise GateUnavailable(
            "The quality gate cannot read the server's list of vulnerabilities. Ask the "
            "administrator to correct EasyMLNB.gate_advisories; the server's log has the reason."
        ) from error


if __name__ == "__main__":
    raise SystemExit(main())
