"""Messages about the models that a worker has loaded."""

from easymlnb.contract.message import Message

LoadedModel = tuple[str, str, int]
"""A model's full name, the alias or number under which it was loaded, and the version."""


# worker -> server


class ModelsInUse(Message):
    """Models that a worker has loaded; the server reports when their aliases move."""

    models: tuple[LoadedModel, ...]


class ModelReady(Message):
    """The worker has loaded a version, and asks for ``ModelSwap`` when it runs no calls.

    ``exclusive``: it has memory for one version only, so it loads this one during the swap.
    """

    model: str
    ref: str
    version: int
    exclusive: bool = False


class ModelLoaded(Message):
    """A worker serves this version now; with an ``error``, still the former one."""

    model: str
    ref: str
    version: int
    error: str = ""


class GetModelAccess(Message):
    """Ask for a token for the server's models; ``ServiceResult`` has it as JSON."""

    id: int


# server -> worker


class ModelMoved(Message):
    """Load this version next to the present one.

    ``token`` lets the worker read it over HTTP.
    """

    model: str
    ref: str
    version: int
    token: str


class ModelSwap(Message):
    """Use the loaded version from now on; no calls are sent until ``ModelLoaded``."""

    model: str
    ref: str
    version: int
