"""Messages about the models that a worker has loaded."""

from easymlnb.contract.message import Message

LoadedModel = tuple[str, str, int]
"""A model's full name, the alias or number under which it was loaded, and the version."""


# worker -> server


class ModelsInUse(Message):
    """Models that a worker has loaded; the server reports when their aliases move."""

    models: tuple[LoadedModel, ...]


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
    """Load this version next to the present one, and use it for the calls that follow.

    ``token`` lets the worker read it over HTTP.
    """

    model: str
    ref: str
    version: int
    token: str
