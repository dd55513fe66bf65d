"""Markers for type hints.

There are two kinds. A ``Hint`` leaves values to pydantic and adds bounds and labels for the form
(``Slider(2, 100)`` on an ``int``). A ``Type`` has its own encoding: it decodes and encodes JSON
values and bytes (``Image()`` on a numpy array). Both are used in ``Annotated[...]`` or alone.

To add a type, subclass ``Type``, list its classes in ``natives``, and implement ``json_schema``,
``decode`` and ``encode``; ``docs/reference/types.md`` has an example.
"""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Self, TypeVar, get_origin

from easymlnb.contract import installation
from easymlnb.contract.options import check, known
from easymlnb.types.uploaded_files import Data

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

KEY = "x-easymlnb"
"""The JSON Schema keyword for how a value is shown and sent."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Upload:
    """A value received as bytes: a part of a form, a raw body, or a chosen file.

    Attributes
    ----------
    data : bytes or memoryview
        The content; a memoryview of a file if it is large.
    name : str
        A label, never a path to open.
    media_type : str
        As the caller sent it; may be empty or wrong.
    path : Path or None
        The file that contains the value, if it contains nothing else.
    charset : str
        Encoding of a text, as the caller sent it; may be empty or wrong.
    """

    data: Data
    name: str = ""
    media_type: str = ""
    path: Path | None = None
    charset: str = ""


def find_loaded(name: str) -> Any:
    """Return the object with a dotted name if its module is imported already, else ``None``."""
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None)


def is_a(kind: Any, *names: str) -> bool:
    """Say whether a class or generic alias is a subclass of a named class."""
    kind = get_origin(kind) or kind
    if not isinstance(kind, type):
        return False
    return any(
        isinstance(cls := find_loaded(name), type) and issubclass(kind, cls) for name in names
    )


class class_or_instance_method(Generic[F]):
    """A method that, called on the class, acts on an instance without options.

    pydantic calls the same methods on ``Image`` and on ``Image(pages=True)``.
    """

    def __init__(self, function: F) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, marker: Any, owner: type) -> Any:
        return self.function.__get__(owner() if marker is None else marker, owner)


class Extra:
    """Adds keywords to the JSON Schema of the hint it annotates and changes no check.

    ``own`` are hints for forms, ``entries`` keywords for the entries of a list.
    """

    def __init__(
        self,
        own: dict[str, Any],
        keywords: dict[str, Any] | None = None,
        entries: dict[str, Any] | None = None,
    ) -> None:
        title = {"title": own["label"]} if own.get("label") else {}
        self.keywords = {**title, **(keywords or {})}
        self.entries = entries or {}
        self.own = {key: value for key, value in own.items() if value is not None}

    def __get_pydantic_json_schema__(
        self, schema: "CoreSchema", handler: "GetJsonSchemaHandler"
    ) -> dict[str, Any]:
        found = handler(schema)
        json_schema = {**found, **self.keywords, KEY: {**found.get(KEY, {}), **self.own}}
        if "prefixItems" in found:
            json_schema["prefixItems"] = [{**item, **self.entries} for item in found["prefixItems"]]
        elif self.entries:
            json_schema["items"] = {**found.get("items", {}), **self.entries}
        return json_schema


class Hint:
    """Base class of all markers, used in ``Annotated[type, marker]`` or alone.

    ``source`` is the type of a marker that is used alone (``x: ml.LongText``). Iterating over a
    marker yields the annotations that pydantic applies instead.
    """

    def __new__(cls, *args: Any, **options: Any) -> Self:
        if options:
            check(cls.__name__, options, known(cls.__init__))
        return super().__new__(cls)

    source: ClassVar[Any] = Any
    # With this attribute, pydantic iterates over the marker.
    __is_annotated_types_grouped_metadata__: ClassVar[Any] = True

    def __iter__(self) -> Iterator[object]:
        return iter(())

    def alone(self, source: Any) -> Any:
        """Return the hint to use: ``source``, or this marker's own source if it is used alone."""
        return self.source if source is self or source is type(self) else source

    @class_or_instance_method
    def __get_pydantic_core_schema__(
        self, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        return handler.generate_schema(Annotated[self.alone(source), *self])


@dataclass(frozen=True, slots=True)
class Marked:
    """A value in the dump of a model, with the type that encodes it."""

    marker: "Type"
    value: Any


class Placeholders:
    """Objects that are not encoded while a model is dumped, by the texts in their places."""

    MARK: ClassVar[str] = secrets.token_hex(16)

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}

    def add(self, item: Any) -> str:
        """Return the text in the place of an object."""
        placeholder = f"{self.MARK}{len(self.items)}"
        self.items[placeholder] = item
        return placeholder


PLACEHOLDERS: ContextVar[Placeholders | None] = ContextVar("easymlnb_keeping", default=None)
"""The placeholders of the current dump, if values of our types are to remain."""


class Type(Hint):
    """Base class of markers with their own encoding; subclass it to add a type.

    A subclass sets ``source`` (the class it represents) or ``natives``, and implements
    ``json_schema``, ``decode`` and ``encode``. With ``reads``, ``writes`` and ``write`` it supports
    encodings besides JSON.
    """

    natives: ClassVar[tuple[str, ...]] = ()
    """Dotted names of classes that have this type without a marker; they are not imported."""

    reads: tuple[str, ...] = ()
    """Media types accepted as a raw body or a part of a form; ``type/*`` and ``*/*`` work."""

    writes: tuple[str, ...] = ()
    """Media types of results besides JSON; the first one is preferred."""

    # pydantic does not iterate over a type. Newer releases of annotated_types check the attribute,
    # older ones whether both exist; a method that is None counts as missing.
    __is_annotated_types_grouped_metadata__ = None
    __iter__ = None  # type: ignore[assignment]

    needs: ClassVar[tuple[str, ...]] = ()
    """Modules that the type requires; without them its hints are refused."""

    result_only: ClassVar[bool] = False
    """Whether the type cannot be used for parameters."""

    @classmethod
    def of(cls, hint: Any) -> "Type":
        """Return the marker for a class in ``natives``, or its generic alias, used as a hint."""
        return cls()

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the JSON encoding; form hints are under ``x-easymlnb``."""
        return {}

    def decode(self, value: Any, source: Any) -> Any:
        """Decode a JSON value or an ``Upload``.

        Parameters
        ----------
        value : object
            A JSON value, an ``Upload``, or a native value that Python code passed.
        source : type
            The annotated class, which the function expects.

        Returns
        -------
        object
            The value for the function.

        Raises
        ------
        ValueError
            The value is invalid; the message is one sentence for the caller.
        """
        return value

    def encode(self, value: Any) -> Any:
        """Encode a result as a JSON value.

        Raises
        ------
        ValueError
            The result has no JSON encoding; the message is one sentence for the author.
        """
        return value

    def write(self, value: Any, media_type: str) -> Data:
        """Encode a result as bytes.

        Parameters
        ----------
        value : object
            The result.
        media_type : str
            One of ``offers(value)``.

        Returns
        -------
        bytes or memoryview
        """
        raise ValueError(f"A {type(self).__name__} cannot be encoded as {media_type}.")

    def offers(self, value: Any) -> tuple[str, ...]:
        """Return the media types, besides JSON, that this result can be written as."""
        return self.writes

    def filename(self, value: Any, media_type: str) -> str:
        """Return the file name of a downloaded result, or an empty string."""
        return ""

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        """Return the parts of a result's view, or ``None`` for the default.

        See the reference of views for the parts.
        """
        return None

    @class_or_instance_method
    def __get_pydantic_core_schema__(
        self, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        from pydantic_core import core_schema

        installation.require(f"ml.{type(self).__name__}", *self.needs)
        target = self.alone(source)
        return core_schema.no_info_plain_validator_function(
            lambda value: self.decode(value, target),
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._serialize, when_used="json"
            ),
        )

    def _serialize(self, value: Any) -> Any:
        placeholders = PLACEHOLDERS.get()
        return self.encode(value) if placeholders is None else placeholders.add(Marked(self, value))

    @class_or_instance_method
    def __get_pydantic_json_schema__(
        self, schema: "CoreSchema", handler: "GetJsonSchemaHandler"
    ) -> dict[str, Any]:
        json_schema = self.json_schema()
        own = {key: value for key, value in json_schema.get(KEY, {}).items() if value is not None}
        if self.reads:
            # This tells clients and forms that the value may be sent as bytes.
            own.setdefault("accept", list(self.reads))
        return {**json_schema, KEY: own}


def _subclasses(root: type[Type]) -> Iterator[type[Type]]:
    # Newest first: types from a notebook before ours, and the latest definition of each.
    for child in reversed(root.__subclasses__()):
        yield from _subclasses(child)
        yield child


def type_for_class(kind: type) -> type[Type] | None:
    """Return the ``Type`` for a class or one of its bases, without importing any library."""
    markers = {
        find_loaded(name): marker
        for marker in reversed(list(_subclasses(Type)))
        for name in marker.__dict__.get("natives", ())
    }
    return next((markers[base] for base in kind.__mro__ if base in markers), None)
