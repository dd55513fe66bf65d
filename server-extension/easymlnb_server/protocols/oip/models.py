"""Requests and responses of the protocol, and how services are described in it."""

from typing import Any, Final

import msgspec

from easymlnb._version import __version__
from easymlnb.contract import tensors
from easymlnb.contract.errors import BadRequest
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.tensors import TensorMetadata
from easymlnb_server.identity.access import Caller

EXTENSIONS: Final = ("binary_tensor_data", "model_configuration", "model_repository")
STATISTICS: Final = "statistics"
"""The extension that holders of API keys may not use."""

PLATFORM: Final = "easymlnb"

CONFIG_TYPES: Final = {tensors.BYTES: "TYPE_STRING"}
"""Datatypes with another name in a model's configuration."""


class ServerMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The server."""

    name: str = "easymlnb"
    version: str = __version__
    extensions: tuple[str, ...]

    @classmethod
    def of(cls, caller: Caller | None) -> "ServerMetadata":
        """Return what a caller may use."""
        has_key = caller is None or caller.key is not None
        return cls(extensions=EXTENSIONS if has_key else (*EXTENSIONS, STATISTICS))


class ModelNames(msgspec.Struct, frozen=True, kw_only=True):
    """The models that the caller may use."""

    models: tuple[str, ...]


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """A model: its versions and its tensors."""

    name: str
    versions: tuple[str, ...]
    platform: str = PLATFORM
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]

    @classmethod
    def of(cls, spec: ServiceSpec, versions: tuple[str, ...]) -> "ModelMetadata":
        return cls(
            name=spec.name,
            versions=versions,
            inputs=tuple(tensors.inputs(spec)),
            outputs=tuple(tensors.outputs(spec)),
        )


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """A model in the index of the repository."""

    name: str
    version: str
    state: str
    reason: str = ""


class ModelReady(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a model answers calls."""

    name: str
    ready: bool


def check_plain(spec: ServiceSpec, *, stream: bool = False) -> None:
    """Raise ``BadRequest`` for a service that an inference request cannot call.

    With ``stream``, the request can be answered in several parts.
    """
    if spec.stream and not stream:
        raise BadRequest(
            f"{spec.name!r} is a streaming service. Call it by 'infer_stream', or with "
            "ModelStreamInfer of gRPC."
        )
    if spec.training is not None:
        raise BadRequest(
            f"{spec.name!r} trains models, which only jobs do. Submit one by "
            f"'POST services/{spec.name}/jobs'."
        )


def config(metadata: ModelMetadata, spec: ServiceSpec) -> dict[str, Any]:
    """Return the configuration of a model, as Triton has it."""
    rows = 0 if spec.batch is None else spec.batch.max_size

    def tensor(one: TensorMetadata) -> dict[str, Any]:
        kind = CONFIG_TYPES.get(one.datatype, f"TYPE_{one.datatype}")
        found = {"name": one.name, "data_type": kind, "dims": one.shape[1 if rows else 0 :]}
        return found | ({"optional": True} if one.parameters.get("optional") else {})

    return {
        "name": metadata.name,
        "platform": metadata.platform,
        "backend": metadata.platform,
        "max_batch_size": rows,
        "input": [tensor(one) for one in metadata.inputs],
        "output": [tensor(one) for one in metadata.outputs],
        "model_transaction_policy": {"decoupled": spec.stream},
    }
