"""Dump pydantic's models and dataclasses that contain values of our types.

Exclusions, serializers and computed fields apply as in ``model_dump_json``.
"""

from collections.abc import Callable
from typing import Any

from easymlnb.types.base import PLACEHOLDERS, Placeholders


def is_model(value: Any) -> bool:
    return hasattr(type(value), "__pydantic_serializer__")


def dump(value: Any, encode: Callable[[Any], Any], *, marked: bool = False) -> Any:
    """Return JSON values and, unchanged, the objects that pydantic cannot encode.

    With ``marked``, values of our types remain as ``Marked``. ``encode`` is for objects that a
    serializer of the model needs encoded. Raises ``ValueError``.
    """
    placeholders = Placeholders()
    token = PLACEHOLDERS.set(placeholders if marked else None)
    try:
        dumped = _written(value, placeholders.add)
    finally:
        PLACEHOLDERS.reset(token)
    if not placeholders.items:
        return dumped
    tree, replaced = _restore(dumped, placeholders)
    return tree if replaced == len(placeholders.items) else _written(value, encode)


def _written(value: Any, fallback: Callable[[Any], Any]) -> Any:
    serializer = type(value).__pydantic_serializer__
    return serializer.to_python(value, mode="json", warnings=False, fallback=fallback)


def _restore(written: Any, placeholders: Placeholders) -> tuple[Any, int]:
    """Return the tree with objects in the places of their placeholders, and their number."""
    if isinstance(written, str):
        item = placeholders.items.get(written, placeholders)
        return (written, 0) if item is placeholders else (item, 1)
    if isinstance(written, dict):
        pairs = {key: _restore(item, placeholders) for key, item in written.items()}
        return {key: item for key, (item, _) in pairs.items()}, sum(n for _, n in pairs.values())
    if isinstance(written, list):
        entries = [_restore(item, placeholders) for item in written]
        return [item for item, _ in entries], sum(n for _, n in entries)
    return written, 0
