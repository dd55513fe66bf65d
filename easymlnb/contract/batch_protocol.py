"""What the server asks a worker about a batch: read rows of a table, run rows, join their results.

The server reads no table itself. A worker cuts the table into blocks of rows, which the server
stores without reading them; each block then goes to any worker of the version. The requests travel
as calls of ``service/operation``, so they have a queue and measured durations of their own.
"""

import msgspec

MSGPACK = "application/msgpack"

SCAN, ROWS, JOIN = "scan", "rows", "join"
"""The operations: cut a table into blocks, run the rows of a block, join results to one file."""

MAX_COLUMNS = 2000
"""Maximum number of columns of a table."""

BLOCK_ROWS = 2000
BLOCK_BYTES = 2**20
"""Maximum rows and bytes of a block; a single row may be larger."""


class BatchMessage(msgspec.Struct, kw_only=True):
    """Base of the bodies of these calls and of their responses."""


class ScanRequest(BatchMessage):
    """Cut a table, or the next part of it, into blocks.

    The table is the call's upload; several uploads are one row each, and ``names`` are their file
    names. ``values`` are parameters that are the same for all rows. ``keep``: columns that are no
    parameters are copied to the result. ``plan`` is what the first scan returned, ``position``
    where the last one stopped. A scan ends after ``seconds``.
    """

    names: tuple[str, ...] = ()
    media_type: str = ""
    values: dict[str, object] = {}
    keep: bool = False
    plan: bytes = b""
    position: int = 0
    seconds: float = 0.25


class Block(BatchMessage):
    """Some rows of a table, as only a worker reads them."""

    rows: int
    data: bytes


class ScanReply(BatchMessage):
    """The next blocks. ``share`` is the part of the table that was read so far, from 0 to 1.

    ``kind`` is the kind of the result: ``csv``, ``parquet`` or ``zip``. ``header`` is its first
    bytes.
    """

    plan: bytes
    kind: str
    header: bytes
    position: int
    complete: bool
    share: float
    blocks: list[Block]


class RowError(BatchMessage, array_like=True):
    """Why a row has no result; rows count from 1."""

    row: int
    code: str
    message: str


class RowsRequest(BatchMessage):
    """Run the rows of a block from ``start`` on, for at most ``seconds``.

    ``first`` is the number of rows before the block. After a worker was lost, ``careful`` runs them
    one by one and reports each before it runs. ``failed`` are rows that must not run, because a
    worker was lost or stuck with them.
    """

    plan: bytes
    data: bytes
    first: int
    start: int
    seconds: float
    careful: bool = False
    failed: list[RowError] = []


class RowsReply(BatchMessage):
    """The results of the rows up to ``stop``: bytes of the result's kind, and files of a ZIP."""

    stop: int
    piece: bytes
    files: list[tuple[str, bytes]]
    errors: list[RowError]
    log: str = ""


class JoinRequest(BatchMessage):
    """Join the pieces of a result; they are the call's upload, ``sizes`` are their lengths."""

    sizes: list[int]


def operation_name(service: str, operation: str) -> str:
    """Return the name under which an operation of a service is called."""
    return f"{service}/{operation}"


def split_operation(name: str) -> tuple[str, str]:
    """Return the service and the operation of a name; the operation is empty for a plain call."""
    service, _, operation = name.partition("/")
    return service, operation
