"""What pydantic's models and dataclasses write of themselves, with what pydantic leaves to us.

Exclusions, serializers and computed fields count as in ``model_dump_json``. Objects that pydantic
does not know stand where they are, for the caller to write.
"""

from collections.abc import Callable
from typing import Any

from easymlnb.types.base import PLACEHOLDERS, Placeholders


def is_model(value: Any) -> bool:
    return hasattr(type(value), "__pydantic_serializer__")


def dump(value: Any, encode: Callable[[Any], Any], *, marked: bool = False) -> Any:
    """Return what a model writes: JSON values, and the objects that pydantic does not know.

    ``marked`` leaves values of our types in it, too, as ``Marked``. ``encode`` writes an object at
    once where a serializer of the model needs that. Raises ``ValueError``.
    """
    kept = Placeholders()
    token = PLACEHOLDERS.set(kept if marked else None)
    try:
        found = _written(value, kept.keep)
    finally:
        PLACEHOLDERS.reset(token)
    if not kept.items:
        return found
    tree, replaced = _restore(found, kept)
    return tree if replaced == len(kept.items) else _written(value, encode)


def _written(value: Any, fallback: Callable[[Any], Any]) -> Any:
    serializer = type(value).__pydantic_serializer__
    return serializer.to_python(value, mode="json", warnings=False, fallback=fallback)


def _restore(written: Any, kept: Placeholders) -> tuple[Any, int]:
    """Return the tree with the kept objects in place of their marks, and how many they were."""
    if isinstance(written, str):
        item = kept.items.get(written, kept)
        return (written, 0) if item is kept else (item, 1)
    if isinstance(written, dict):
        pairs = {key: _restore(item, kept) for key, item in written.items()}
        return {key: item for key, (item, _) in pairs.items()}, sum(n for _, n in pairs.values())
    if isinstance(written, list):
        entries = [_restore(item, kept) for item in written]
        return [item for item, _ in entries], sum(n for _, n in entries)
    return written, 0
