"""Requests to a node and its replies, used at both ends."""

import msgspec

END = "end"
"""Channel on which a node tells that a kernel ended; its one part is the exit code."""

SIGNAL = "signal"
"""Channel on which a node is told to send a kernel the signal of that number."""

FULL = 409
"""Status by which a node says that no seat is free."""


OURS = "X-Request-Id"
"""Header of every answer of ours: a proxy that has not got its routes back says 404, too."""


class KernelRequest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A kernel that a node is to start.

    ``worker`` is a worker's name, empty for a kernel that somebody types into: that one gets all
    of the node's environment, a worker only what workers get anywhere. ``key`` signs its messages,
    ``name`` is the kernel's id where it is wanted.
    ``folder`` is where it runs if there is such a folder on the node, ``files`` a zip of what a
    worker needs beside it. ``seats`` is how many kernels the node carries at most, ``idle`` how
    many seconds it stays without any, ``life`` how old it may be to take another; 0 for any age.
    """

    kernel: str
    key: str
    name: str = ""
    worker: str = ""
    label: str = ""
    environment: dict[str, str] = {}
    folder: str = ""
    files: bytes = b""
    seats: int = 1
    idle: float = 600.0
    life: float = 0.0


class KernelStatus(msgspec.Struct, kw_only=True, frozen=True):
    """A kernel that runs on a node. ``memory`` is in bytes, ``seconds`` how long it runs."""

    id: str
    kernel: str
    label: str = ""
    worker: bool = False
    connected: bool = False
    memory: int = 0
    seconds: float = 0.0
    gpus: tuple[str, ...] = ()


class NodeStatus(msgspec.Struct, kw_only=True, frozen=True):
    """What a node tells of itself."""

    host: str
    kernels: tuple[KernelStatus, ...] = ()
    gpus: tuple[str, ...] = ()
    seats: int = 1
