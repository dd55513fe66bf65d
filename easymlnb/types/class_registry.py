"""Which type stands for a class, without importing the class's library."""

from collections.abc import Iterator

from easymlnb.types.base import Type, loaded_class


def _subclasses(root: type[Type]) -> Iterator[type[Type]]:
    # Newest first: a type from a notebook goes before ours, its latest edition before older ones.
    for child in reversed(root.__subclasses__()):
        yield from _subclasses(child)
        yield child


def type_for_class(kind: type) -> type[Type] | None:
    """Return the ``Type`` that stands for a class or one of its bases."""
    candidates = [
        (found, marker)
        for marker in _subclasses(Type)
        for name in marker.__dict__.get("natives", ())
        if isinstance(found := loaded_class(name), type)
    ]
    for base in kind.__mro__:
        for found, marker in candidates:
            if found is base:
                return marker
    return None
