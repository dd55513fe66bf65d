"""What a type hint marker is.

There are two kinds. A ``Hint`` leaves values to pydantic and adds bounds and words for the form
(``Slider(2, 100)`` on an ``int``). A ``Type`` owns its wire form: it reads JSON values and bytes
and writes them (``Image()`` on a numpy array). Both stand in ``Annotated[...]`` or alone.

To add a type, subclass ``Type``, say in ``natives`` which class it stands for, and write
``json_schema``, ``decode`` and ``encode``; ``docs/reference/types.md`` has an example.
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
"""The keyword of JSON Schema under which a type says how it likes to be shown and sent."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Upload:
    """A value that arrived as bytes: a part of a form, a raw body, or a chosen file.

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


def loaded_class(name: str) -> Any:
    """Return the class of that dotted name if its library is imported already, else ``None``."""
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None)


def is_a(kind: Any, *names: str) -> bool:
    """Tell whether a class, or a generic alias of it, is one of the named ones."""
    kind = get_origin(kind) or kind
    if not isinstance(kind, type):
        return False
    return any(
        isinstance(found := loaded_class(name), type) and issubclass(kind, found) for name in names
    )


class class_or_instance_method(Generic[F]):
    """A method that, called on the class, acts on an instance made without options.

    pydantic asks ``Image`` (the bare hint) and ``Image(pages=True)`` the same questions.
    """

    def __init__(self, function: F) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, marker: Any, owner: type) -> Any:
        return self.function.__get__(owner() if marker is None else marker, owner)


class Extra:
    """Adds keywords to the JSON Schema of the hint it annotates and changes no check."""

    def __init__(self, keywords: dict[str, Any], own: dict[str, Any]) -> None:
        self.keywords = keywords
        self.own = {key: value for key, value in own.items() if value is not None}

    def __get_pydantic_json_schema__(
        self, schema: "CoreSchema", handler: "GetJsonSchemaHandler"
    ) -> dict[str, Any]:
        found = handler(schema)
        return {**found, **self.keywords, KEY: {**found.get(KEY, {}), **self.own}}


class Hint:
    """Base class of all markers, which are written in ``Annotated[type, marker]`` or alone.

    ``source`` is the type of a marker that is written alone (``x: ml.LongText``). Iterating over a
    marker yields the annotations that pydantic applies instead of it.
    """

    def __new__(cls, *args: Any, **options: Any) -> Self:
        if options:
            check(cls.__name__, options, known(cls.__init__))
        return super().__new__(cls)

    source: ClassVar[Any] = Any
    # By this attribute pydantic knows that a marker stands for what it iterates over.
    __is_annotated_types_grouped_metadata__: ClassVar[Any] = True

    def __iter__(self) -> Iterator[object]:
        return iter(())

    def alone(self, source: Any) -> Any:
        """Return the hint to read: ``source``, or this marker's own where it stands by itself."""
        return self.source if source is self or source is type(self) else source

    @class_or_instance_method
    def __get_pydantic_core_schema__(
        self, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        return handler.generate_schema(Annotated[self.alone(source), *self])


@dataclass(frozen=True, slots=True)
class Marked:
    """A value in what a model writes, with the type that it is to be written by."""

    marker: "Type"
    value: Any


class Placeholders:
    """The objects that stay as they are while a model is written, by the marks in their places."""

    MARK: ClassVar[str] = secrets.token_hex(16)

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}

    def keep(self, item: Any) -> str:
        """Keep an object; returns its mark."""
        mark = f"{self.MARK}{len(self.items)}"
        self.items[mark] = item
        return mark


PLACEHOLDERS: ContextVar[Placeholders | None] = ContextVar("easymlnb_keeping", default=None)
"""Where values of our types are kept, rather than written."""


class Type(Hint):
    """Base class of markers with their own encoding; subclass it to add a type.

    A subclass sets ``source`` (the class it represents) or ``natives``, and implements
    ``json_schema``, ``decode`` and ``encode``. With ``reads``, ``writes`` and ``write`` it supports
    encodings besides JSON.
    """

    natives: ClassVar[tuple[str, ...]] = ()
    """Dotted names of classes that mean this type without a marker; never imported for it."""

    reads: tuple[str, ...] = ()
    """Media types taken as a raw body or a part of a form; ``type/*`` and ``*/*`` work."""

    writes: tuple[str, ...] = ()
    """Media types, besides JSON, that a result can be written as; the first is preferred."""

    # A type is applied itself. Newer releases of annotated_types ask for the attribute, older ones
    # whether both exist; a method that is None counts as missing.
    __is_annotated_types_grouped_metadata__ = None
    __iter__ = None  # type: ignore[assignment]

    needs: ClassVar[tuple[str, ...]] = ()
    """Modules that its values are read and written with; a hint without them is refused."""

    result_only: ClassVar[bool] = False
    """Whether it makes no sense as a parameter."""

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
        """Return what a person sees of a result, as parts of a view.

        ``None`` leaves the choice to easymlnb. See the reference of views for the parts.
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
        kept = PLACEHOLDERS.get()
        return self.encode(value) if kept is None else kept.keep(Marked(self, value))

    @class_or_instance_method
    def __get_pydantic_json_schema__(
        self, schema: "CoreSchema", handler: "GetJsonSchemaHandler"
    ) -> dict[str, Any]:
        found = self.json_schema()
        own = found.get(KEY, {})
        # Every reader learns from here that the value may be sent as bytes, too.
        accept = {"accept": list(self.reads)} if self.reads and "accept" not in own else {}
        return {**found, KEY: {**own, **accept}}
