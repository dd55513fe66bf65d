"""Connect functions: the parameter for each result, and the merged parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from easymlnb.compose.hint_compat import fields, format_hint, is_assignable, strip_metadata
from easymlnb.contract.errors import DefinitionError
from easymlnb.services.signature import MISSING, Parameter, Signature
from easymlnb.services.validators import adapter
from easymlnb.types.resolve import resolve

BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "maxLength")


@dataclass(frozen=True, slots=True)
class StepSpec:
    """A function of a pipeline; ``label`` names it in messages."""

    function: Callable[..., Any]
    signature: Signature
    label: str

    @property
    def names(self) -> list[str]:
        return [item.name for item in self.signature.parameters]

    @property
    def required(self) -> list[str]:
        return [item.name for item in self.signature.parameters if item.default is MISSING]

    @property
    def main(self) -> Parameter | None:
        """The only parameter that can receive the whole previous result, if there is one."""
        needed = self.required or self.names[:1]
        if len(needed) != 1:
            return None
        return next(item for item in self.signature.parameters if item.name == needed[0])


def target_parameter(before: StepSpec, after: StepSpec) -> str:
    """Return the parameter of ``after`` for the result of ``before``; empty if passed by names.

    Raises ``DefinitionError`` if this always fails.
    """
    if not after.names:
        raise DefinitionError(
            f"{after.label} has no parameters, so it cannot receive the result of {before.label}."
        )
    available, main = fields(before.signature.returns), after.main
    matching = available is not None and set(after.required) <= set(available) <= set(after.names)
    if available and matching and not (main and _same_type(before.signature.returns, main.hint)):
        for item in after.signature.parameters:
            if item.name in available:
                _check(before, available[item.name], after, item, f" as {item.name!r}")
        return ""
    if main is not None:
        _check(before, before.signature.returns, after, main, "")
        return main.name
    if available is not None or not is_assignable(before.signature.returns, dict[str, Any]):
        returned = (
            ", ".join(available) if available else f"one {format_hint(before.signature.returns)}"
        )
        raise DefinitionError(
            f"{after.label} requires {', '.join(after.required)}, but {before.label} returns "
            f"{returned}. Return a dict or a dataclass with the required names."
        )
    return ""


def _check(before: StepSpec, given: Any, after: StepSpec, item: Parameter, where: str) -> None:
    if not is_assignable(given, item.hint):
        raise DefinitionError(
            f"{after.label} expects {format_hint(item.hint)}{where}, but {before.label} returns "
            f"{format_hint(given)}{where}."
        )


def result_hint(spec: StepSpec) -> Any:
    """Return the hint of a step's result for a TypedDict."""
    hint = spec.signature.returns
    if hint is MISSING:
        return Any
    try:
        return resolve(hint)
    except TypeError as error:
        raise DefinitionError(f"{spec.label} has an invalid return hint: {error}.") from error


def merge_parameters(specs: Sequence[StepSpec]) -> tuple[Parameter, ...]:
    """Return the parameters of all steps, each name once.

    Raises ``DefinitionError`` if two steps have different parameters with the same name.
    """
    merged: dict[str, tuple[StepSpec, Parameter]] = {}
    for spec in specs:
        for item in spec.signature.parameters:
            if item.name not in merged:
                merged[item.name] = spec, item
                continue
            owner, known = merged[item.name]
            merged[item.name] = owner, _merge(owner, known, spec, item)
    return tuple(item for _, item in merged.values())


def _merge(owner: StepSpec, known: Parameter, spec: StepSpec, item: Parameter) -> Parameter:
    hints = [hint for hint in (known.hint, item.hint) if hint is not MISSING]
    if len(hints) == 2 and not _take_same_values(*hints):
        raise _conflict(owner, _described(known.hint), spec, _described(item.hint), item.name)
    default, other = known.default, item.default
    if default is not MISSING and other is not MISSING and not _equal(default, other):
        raise _conflict(owner, f"= {default!r}", spec, f"= {other!r}", item.name)
    return replace(
        known,
        hint=hints[0] if hints else MISSING,
        default=MISSING if other is MISSING else default,
        description=known.description or item.description,
    )


def _conflict(
    owner: StepSpec, mine: str, spec: StepSpec, theirs: str, name: str
) -> DefinitionError:
    return DefinitionError(
        f"The parameter {name!r} is {mine} in {owner.label}, but {theirs} in {spec.label}. Make "
        "them equal, or rename one of them."
    )


def _described(hint: Any) -> str:
    """Return a hint as text with its bounds, which ``format_hint`` omits."""
    bounds = {key: value for key, value in _json(hint).items() if key in BOUNDS}
    return f"{format_hint(hint)} {bounds or ''}".strip()


def _same_type(one: Any, other: Any) -> bool:
    return bool(strip_metadata(one) == strip_metadata(other))


def _take_same_values(one: Any, other: Any) -> bool:
    """Say whether two hints accept the same values, from Python and from callers."""
    return is_assignable(one, other) and is_assignable(other, one) and _json(one) == _json(other)


def _json(hint: Any) -> dict[str, Any]:
    try:
        return adapter(resolve(hint)).json_schema()
    except Exception:  # refused when the service is defined
        return {}


def _equal(one: Any, other: Any) -> bool:
    """Say whether two defaults are equal; arrays, which cannot be compared, are not."""
    try:
        return one is other or bool(one == other)
    except Exception:
        return False
