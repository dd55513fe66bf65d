"""Modules of the entry-point group ``deepaas.v2.model``: find one, and run its methods."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from marshmallow import Schema
from marshmallow.warnings import Marshmallow4Warning

from easymlnb.compat.deepaas import package
from easymlnb.compat.deepaas.arguments import Arguments
from easymlnb.compat.deepaas.fields import is_json
from easymlnb.contract.deepaas import PREDICT, STATUS, TRAIN, Method
from easymlnb.contract.errors import CallerError, DefinitionError

GROUP = "deepaas.v2.model"

METHODS: tuple[Method, ...] = (PREDICT, TRAIN)


def names() -> list[str]:
    """Return the names of the installed models."""
    return sorted({found.name for found in metadata.entry_points(group=GROUP)})


class Module:
    """A model of an installed module.

    - ``name``: the name of its entry point
    - ``metadata``: what it says about itself, as JSON values
    - ``arguments``: the arguments of each method that it has
    - ``response``: the schema of its predictions, ``None`` if it has none
    """

    def __init__(self, name: str, model: Any) -> None:
        self.name = name
        self._model = model
        with quiet():
            self.metadata = _metadata(name, model)
            self.arguments = {
                method: Arguments(f"{name}.{method}", _declared(model, f"get_{method}_args"))
                for method in METHODS
                if callable(getattr(model, method, None))
            }
            self.response = _response(getattr(model, "schema", None))

    @property
    def missing(self) -> tuple[Method, ...]:
        """The methods that the module does not have."""
        return tuple(method for method in METHODS if method not in self.arguments)

    def warm(self) -> None:
        """Let the model prepare itself, if it does."""
        prepare = getattr(self._model, "warm", None)
        if prepare is not None:
            try:
                prepare()
            except NotImplementedError:
                return

    def run(self, method: Method, values: dict[str, Any]) -> Any:
        """Run a method; raises ``CallerError`` for an answer with a status of the module's own."""
        try:
            return getattr(self._model, method)(**values)
        except NotImplementedError:
            text = f"Model '{self.name}' does not implement this functionality"
            raise CallerError(text, details={STATUS: 501}) from None
        except Exception as error:
            if (status := http_status(error)) is not None:
                raise CallerError(http_text(error), details={STATUS: status}) from error
            raise


def load(name: str) -> Module:
    """Return an installed model; raises ``DefinitionError`` with the names of those installed."""
    package.provide()
    found = [one for one in metadata.entry_points(group=GROUP) if one.name == name]
    if not found:
        known = ", ".join(map(repr, names())) or "none"
        raise DefinitionError(
            f"There is no entry point {name!r} in the group {GROUP!r} of this environment. "
            f"Installed models: {known}. Install the module: pip install -e PATH"
        )
    with quiet():
        model = found[0].load()
        return Module(name, model() if isinstance(model, type) else model)


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings about options that modules have from older releases of marshmallow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Marshmallow4Warning)
        yield


def _declared(model: Any, name: str) -> Any:
    declare = getattr(model, name, None)
    try:
        return declare() if declare is not None else {}
    except NotImplementedError:
        return {}


def no_description(name: str) -> str:
    """Return the description of a model whose module says nothing about itself."""
    return f"Could not load description from underlying model (loaded '{name}')"


def _metadata(name: str, model: Any) -> dict[str, Any]:
    found = _declared(model, "get_metadata") or {
        "id": "0",
        "name": name,
        "description": no_description(name),
    }
    return {str(key): value if is_json(value) else str(value) for key, value in found.items()}


def _response(schema: Any) -> Schema | None:
    if schema is None or isinstance(schema, Schema):
        return schema
    if isinstance(schema, dict):
        return Schema.from_dict(schema, name="ModelPredictionResponse")()
    if isinstance(schema, type) and issubclass(schema, Schema):
        return schema()
    raise DefinitionError(
        f"The module's 'schema' must be a dict of fields or a marshmallow.Schema, not {schema!r}."
    )


def http_status(error: BaseException) -> int | None:
    """Return the status of an ``HTTPException`` of aiohttp or another framework, else ``None``.

    Errors of HTTP clients have a status too, but not for callers, and their text may have a URL.
    """
    if all(kind.__name__ != "HTTPException" for kind in type(error).__mro__):
        return None
    for key in ("status_code", "status"):
        status = getattr(error, key, None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None


def http_text(error: BaseException) -> str:
    """Return what an HTTP exception says."""
    found = (getattr(error, key, None) for key in ("reason", "detail", "text"))
    return str(next((text for text in found if text), error))
