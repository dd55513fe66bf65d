"""The object that ``ml.model`` returns: the present version of a model."""

from typing import Any

from easymlnb.runtime.served_models import ModelSlot

_OWN = frozenset(("model_name", "model_version", "unwrap"))


class ModelHandle:
    """A model of the registry, which behaves like the object that was saved.

    In a published service it becomes the new version when its alias moves, between two calls.

    - ``model_name``: the model's name, with its owner on a shared service
    - ``model_version``: the number of the version that the running call uses
    - ``unwrap()``: the object itself
    """

    __slots__ = ("_easymlnb_slot",)

    _easymlnb_slot: ModelSlot

    def __init__(self, slot: ModelSlot) -> None:
        object.__setattr__(self, "_easymlnb_slot", slot)

    @property
    def model_name(self) -> str:
        return self._easymlnb_slot.current.model

    @property
    def model_version(self) -> int:
        return self._easymlnb_slot.served().version

    def unwrap(self) -> Any:
        """Return the object of the version that the running call uses."""
        return self._easymlnb_slot.served().value

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.unwrap())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unwrap(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.unwrap(), name, value)

    def __repr__(self) -> str:
        served = self._easymlnb_slot.served()
        return f"<model {served.model} version {served.version}: {served.value!r}>"

    def __dir__(self) -> list[str]:
        return [*_OWN, *dir(self.unwrap())]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.unwrap()(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self.unwrap()[key]

    def __contains__(self, key: Any) -> bool:
        return key in self.unwrap()

    def __iter__(self) -> Any:
        return iter(self.unwrap())

    def __len__(self) -> int:
        return len(self.unwrap())

    def __bool__(self) -> bool:
        return True

    def __fspath__(self) -> str:
        path: str = self.unwrap().__fspath__()
        return path

    def __truediv__(self, other: Any) -> Any:
        return self.unwrap() / other

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.unwrap().__reduce_ex__(protocol)
