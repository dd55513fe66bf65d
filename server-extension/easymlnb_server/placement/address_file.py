"""The server's address in a file, for workers that lost their server."""

import secrets
from pathlib import Path

from easymlnb_server.placement import process_records


def write_address(file: Path, link: str, cafile: str) -> None:
    """Write where this server's workers connect, readable by its own account only.

    Each server writes another ``run``. A worker that lost its server trusts only a server that can
    write here: another process may have taken the port meanwhile.
    """
    process_records.write(file, {"link": link, "cafile": cafile, "run": secrets.token_hex(8)})
