"""The messages of the protocol, as classes.

Generated code would register them in the process's own pool, where those of other packages with the
same names are, such as Triton's client. So their description is loaded into a private pool.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from easymlnb.contract.errors import BadRequest

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet()
    files.ParseFromString(Path(__file__).with_name("inference.binpb").read_bytes())
    for file in files.file:
        pool.Add(file)
    return pool


@cache
def message(name: str) -> Any:
    """Return the class of a message, such as ``ModelInferRequest``."""
    found = _pool().FindMessageTypeByName(f"{PACKAGE}.{name}")
    return message_factory.GetMessageClass(found)


def reader(name: str) -> Callable[[bytes], Any]:
    """Return a function that reads a message; for other bytes it returns a ``BadRequest``."""
    kind = message(name)

    def read(data: bytes) -> Any:
        try:
            return kind.FromString(data)
        except DecodeError:  # raised here, it would be an unknown error of gRPC
            return BadRequest(f"The request is not a valid message {name}.")

    return read


def methods() -> list[Any]:
    """Return the descriptors of all calls of the protocol."""
    return list(_pool().FindServiceByName(SERVICE).methods)
