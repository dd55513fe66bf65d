"""The version of a model that a call uses."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version of a model in memory.

    - ``model``: its name, with its owner on a shared service
    - ``version``: its number
    - ``value``: the object
    """

    model: str
    version: int
    value: Any

    @property
    def label(self) -> tuple[str, int]:
        """Name without the owner, and number."""
        return self.model.rpartition("/")[2], self.version
