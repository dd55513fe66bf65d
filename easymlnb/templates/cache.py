"""The models that a worker has loaded: the latest used ones, up to a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

LIMIT = 512 * 2**20
"""Bytes of stored models that a worker keeps loaded; in memory they take about twice as many."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """A loaded model and the bytes of its files."""

    value: T
    size: int


class ModelCache(Generic[T]):
    """Least recently used models leave first; one over the limit is kept alone."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._lock = threading.RLock()
        self._models: OrderedDict[str, Loaded[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._models)

    def __contains__(self, key: str) -> bool:
        return key in self._models

    @property
    def size(self) -> int:
        """Bytes of all loaded models."""
        return sum(loaded.size for loaded in self._models.values())

    def get(self, key: str, load: Callable[[], Loaded[T]]) -> T:
        """Return a model; ``load`` reads it if it is not loaded."""
        with self._lock:  # a new version is loaded by another thread
            loaded = self._models.get(key)
            if loaded is None:
                loaded = load()
                self._models[key] = loaded
                while self.size > self.limit and len(self._models) > 1:
                    self._models.popitem(last=False)
            else:
                self._models.move_to_end(key)
            return loaded.value
