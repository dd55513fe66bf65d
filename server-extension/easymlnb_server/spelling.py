"""Settings that somebody wrote: unknown names and wrong types, each refused in a sentence."""

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from traitlets.config import Config, Configurable
from traitlets.config.loader import LazyConfigValue

Struct = TypeVar("Struct", bound=msgspec.Struct)

SIMILAR = 0.5
FEW = 12
"""Names that a message may list."""

LONGEST = 60
"""Characters of a wrong value that a message quotes."""


def suggestion(name: str, known: Collection[str]) -> str:
    """Return the end of a message on an unknown name: the closest known name, or all of a few."""
    folded = {one.lower(): one for one in known}
    cutoff = SIMILAR if len(known) <= FEW else 0.0
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=cutoff)
    if close:
        return f" Did you mean {folded[close[0]]!r}?"
    return f" Known names: {', '.join(sorted(known))}."


def struct(told: object, kind: type[Struct], what: str) -> Struct:
    """Return settings as a struct; ``what`` says which. Raises ``ValueError`` in a sentence."""
    if not isinstance(told, Mapping):
        raise ValueError(f"{what} must be a dictionary, not {_quoted(told)}.")
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    values = {}
    for name, value in told.items():
        if name not in types:
            known = suggestion(str(name), types)
            raise ValueError(f"{what} has no setting {name!r}.{known}")
        try:
            values[name] = msgspec.convert(value, types[name])
        except msgspec.ValidationError as error:
            raise ValueError(f"{name!r} of {what} is {_quoted(value)}: {error}.") from error
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: {error}") from error


def unknown(
    config: Config, kinds: Sequence[type[Configurable]], ours: Collection[str]
) -> Iterator[str]:
    """Yield a sentence for each entry of a configuration that has no effect.

    ``kinds`` are the classes that read it: all entries in their sections must be theirs. Sections
    of other programs are left alone, unless their name is nearly one of ``ours``.
    """
    sections = {name: set[str]() for kind in kinds for name in kind.section_names()}
    for kind in kinds:
        for name in kind.section_names():
            sections[name] |= set(kind.class_trait_names(config=True))
    for section, entries in config.items():
        if section not in sections:
            yield from _nearly(section, ours)
        elif not isinstance(entries, Config):
            yield (
                f"c.{section} must not be set to {_quoted(entries)}. Set its options: "
                f"c.{section}.NAME = VALUE."
            )
        else:
            yield from _entries(section, entries, sections)


def _entries(
    section: str, entries: Config, sections: Mapping[str, Collection[str]]
) -> Iterator[str]:
    known = sections[section]
    for name, value in entries.items():
        if isinstance(value, Config) and name in sections:
            continue  # settings for one class inside another, as traitlets has them
        if name not in known:
            yield f"c.{section}.{name} is not a setting.{suggestion(name, known)}"
        elif isinstance(value, LazyConfigValue) and not value.to_dict():
            # As c.EasyMLNB.placements.gpu = {...} leaves it.
            yield f"c.{section}.{name} has no value. Set it with: c.{section}.{name} = VALUE."


def _nearly(section: str, ours: Collection[str]) -> Iterator[str]:
    folded = {one.lower(): one for one in ours}
    close = difflib.get_close_matches(section.lower(), folded, n=1, cutoff=0.8)
    if close:
        yield f"Unknown section c.{section}. Did you mean c.{folded[close[0]]}?"


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
