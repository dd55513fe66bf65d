"""Batched functions: the signature of a single call, for callers, forms and schemas."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.spec import Batch
from easymlnb.services.signature import MISSING, Parameter, Signature

T = TypeVar("T")


class _BatchedMarker:
    """Distinguishes a batched list from a list that each caller sends."""


_MARK = _BatchedMarker()

if TYPE_CHECKING:
    Batched = list[T]
else:

    class Batched:
        """Hint of every parameter of a batched service: a list of rows, one for each call.

        ``ml.Batched[Row]`` is ``list[Row]`` for the function; each caller sends one ``Row``.
        """

        def __class_getitem__(cls, row: Any) -> Any:
            return Annotated[list[row], _MARK]


def per_call_signature(signature: Signature, batch: Batch | None) -> Signature:
    """Return the signature for each caller; without ``batch``, it is the function's own.

    Raises ``DefinitionError`` with the parameter and the fix.
    """
    if batch is None:
        for item in signature.parameters:
            if _row(item.hint) is not None:
                raise DefinitionError(
                    f"Parameter {item.name!r} of {signature.name!r} is ml.Batched, but the service "
                    "is not batched. Write @ml.service(batch=ml.Batch())."
                )
        return signature
    if not isinstance(batch, Batch):
        raise DefinitionError(f"batch must be ml.Batch(...), not {batch!r}.")
    if signature.stream:
        raise DefinitionError(
            f"{signature.name!r} is a generator, which cannot be batched. Return a list with one "
            "result per call."
        )
    if not signature.parameters:
        raise DefinitionError(
            f"{signature.name!r} has no parameters to batch. Add one with the hint "
            "ml.Batched[<type of one value>], or remove batch=."
        )
    parameters = tuple(_parameter(signature.name, item) for item in signature.parameters)
    return replace(signature, parameters=parameters, returns=_returns(signature))


def _parameter(name: str, item: Parameter) -> Parameter:
    row = _row(item.hint)
    if row is None:
        raise DefinitionError(
            f"Parameter {item.name!r} of {name!r} is not batched, but the calls of a batch may "
            "have different values for the parameter. Use the hint ml.Batched[<type of one "
            "value>], or remove batch=."
        )
    if item.default is not MISSING:
        raise DefinitionError(
            f"Parameter {item.name!r} of {name!r} is batched and has a default, which would "
            "apply to the whole batch. Remove the default; the fields of a row type may have "
            "defaults."
        )
    return replace(item, hint=row)


def _row(hint: Any) -> Any:
    """Return the hint of one row with its other metadata; ``None`` if it is not batched."""
    if get_origin(hint) is not Annotated or _MARK not in hint.__metadata__:
        return None
    row = get_args(hint.__origin__)[0]
    others = tuple(item for item in hint.__metadata__ if item is not _MARK)
    return Annotated[(row, *others)] if others else row


def _returns(signature: Signature) -> Any:
    """Return the hint of one result."""
    hint = signature.returns
    if hint is MISSING or hint is list:
        return MISSING
    row = _row(hint)
    if row is None and get_origin(hint) is list:
        row = get_args(hint)[0]
    if row is None:
        raise DefinitionError(
            f"Invalid return hint {hint} of {signature.name!r}: a batched service returns "
            "list[<type of one result>] or ml.Batched[...], with one result per call."
        )
    return row
