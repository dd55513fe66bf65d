"""Requests to a node and its replies, used at both ends."""

import msgspec

END = "end"
"""Channel on which a node reports that a kernel ended; its one part is the exit code."""

SIGNAL = "signal"
"""Channel on which a node receives the number of a signal to send to the kernel."""

FULL = 409
"""Status of a node without a free slot."""

OURS = "X-Request-Id"
"""Header of all our responses: a proxy that lost its routes responds with 404, too."""


class KernelRequest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A request to a node to start a kernel.

    kernel: the kernelspec.
    key: signs the kernel's messages.
    name: the kernel's id on the server that requests it.
    worker: a worker's name. Empty for an interactive kernel, which gets the node's whole
        environment; workers get the same variables as anywhere.
    environment: more variables.
    folder: the folder to run in, if the node has it.
    files: a zip of the files that a worker needs.
    locked: the folders of a locked environment and of easymlnb, on files that the node shares.
    slots: how many kernels the node may run.
    idle: seconds that the node runs without any kernel.
    lifetime: seconds until the node accepts no more kernels; 0: no end.
    stay: seconds that a kernel of jobs runs without its owner; 0 for other kernels, which have the
        same short time everywhere.
    """

    kernel: str
    key: str
    name: str = ""
    worker: str = ""
    label: str = ""
    environment: dict[str, str] = {}
    folder: str = ""
    files: bytes = b""
    locked: tuple[str, str] | None = None
    slots: int = 1
    idle: float = 600.0
    lifetime: float = 0.0
    stay: float = 0.0


class KernelChange(msgspec.Struct, kw_only=True, frozen=True):
    """A change of a kernel that runs on a node: its ``stay`` from now on, see ``KernelRequest``."""

    stay: float


class KernelStatus(msgspec.Struct, kw_only=True, frozen=True):
    """A kernel that runs on a node.

    memory: resident bytes.
    seconds: how long it has run.
    """

    id: str
    kernel: str
    label: str = ""
    worker: bool = False
    connected: bool = False
    memory: int = 0
    seconds: float = 0.0
    gpus: tuple[str, ...] = ()


class NodeStatus(msgspec.Struct, kw_only=True, frozen=True):
    """A node and its kernels."""

    host: str
    kernels: tuple[KernelStatus, ...] = ()
    gpus: tuple[str, ...] = ()
    slots: int = 1
