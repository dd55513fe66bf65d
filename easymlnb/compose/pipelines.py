"""``ml.pipeline`` and ``ml.gather``: combine functions to one service.

Each creates an ordinary function with hints, defaults and a docstring, and passes it to
``ml.service``.
"""

import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from easymlnb.compose.parallel import run_parallel
from easymlnb.compose.steps import (
    PIECES,
    Run,
    Step,
    as_function,
    as_generator,
    run_each,
    run_in_sequence,
    stream_items,
)
from easymlnb.compose.wiring import StepSpec, merge_parameters, result_hint, target_parameter
from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.options import check, known
from easymlnb.services import signature
from easymlnb.services.decorator import options_of_service, service
from easymlnb.services.service_function import ServiceFunction
from easymlnb.services.signature import MISSING, Parameter


def pipeline(
    *steps: Callable[..., Any],
    name: str | None = None,
    expose: Sequence[str] = (),
    **options: Any,
) -> ServiceFunction[..., Any]:
    """Make one service of functions that run one after another.

    The parameters are those of the first step, the result is that of the last one. The result of a
    step goes to the next one's only required parameter. A dict, dataclass, TypedDict, NamedTuple or
    model whose names match several parameters is passed by name. Values are passed as they are.

    Parameters
    ----------
    *steps : callable
        Functions with ``def`` or ``async def``, services, pipelines and gathers. The last one may
        be a generator.
    name : str, optional
        Default: the steps' names, joined by ``_``.
    expose : sequence of str, optional
        Names of parameters with defaults of later steps that callers may set.
    **options
        Options of ``ml.service``.

    Returns
    -------
    ServiceFunction
        The service, which can also be called like a function.

    Raises
    ------
    DefinitionError
        Names the steps, for example if the result of one does not fit the parameter of the next.
    """
    check("ml.pipeline", options, (*known(pipeline), *options_of_service()))
    if not steps:
        raise DefinitionError(
            "A pipeline needs at least one step, such as ml.pipeline(prepare, predict)."
        )
    specs = [_step_spec(step, f"step {at} {_name_of(step)!r}") for at, step in enumerate(steps, 1)]
    for spec in specs[:-1]:
        if spec.signature.stream:
            raise DefinitionError(
                f"{spec.label} is a generator. Only the last step of a pipeline can be a generator."
            )
    name = _name(name, [spec.signature.name for spec in specs], steps)
    targets = ["", *(target_parameter(before, after) for before, after in pairwise(specs))]
    exposed = _exposed(specs, targets, expose)
    first, last = specs[0].signature, specs[-1].signature
    sent = [set(specs[0].names), *(exposed.keys() & spec.names for spec in specs[1:])]
    chain = [
        _create_step(spec, name, target, names)
        for spec, target, names in zip(specs, targets, sent, strict=True)
    ]
    run = partial(stream_items if last.stream else run_in_sequence, chain)
    parameters = (*first.parameters, *exposed.values())
    combined = _function(parameters, last.returns, run, stream=last.stream)
    title = " → ".join(spec.signature.name for spec in specs)
    return _as_service(combined, name, title, specs, last.returns_description, options)


def gather(
    *, name: str | None = None, concurrent: bool = True, **steps_and_options: Any
) -> ServiceFunction[..., Any]:
    """Make one service of functions that all get the same input.

    The result is a dict with each function's result under its name. The parameters are those of all
    functions; a parameter that several of them have is passed to each.

    Parameters
    ----------
    name : str, optional
        Default: the names of the results, joined by ``_``.
    concurrent : bool, default True
        Run the functions at the same time, each in a thread; ``False`` runs them one after another.
    **steps_and_options
        Functions by name (as in ``ml.pipeline``, but no generators), and options of ``ml.service``.

    Returns
    -------
    ServiceFunction

    Raises
    ------
    DefinitionError
        Names the parameter that two functions have with different types or defaults.

    Examples
    --------
    >>> vote = ml.gather(forest=forest, net=net, name="vote")
    """
    members = {key: value for key, value in steps_and_options.items() if callable(value)}
    options = {key: value for key, value in steps_and_options.items() if key not in members}
    check("ml.gather", options, (*known(gather), *options_of_service()))
    if not members:
        raise DefinitionError(
            "gather needs functions as keyword arguments, such as ml.gather(a=model1, b=model2)."
        )
    specs = {key: _step_spec(step, repr(key)) for key, step in members.items()}
    for spec in specs.values():
        if spec.signature.stream:
            raise DefinitionError(f"{spec.label} is a generator, which cannot be gathered.")
    name = _name(name, list(members), list(members.values()))
    steps = {key: _create_step(spec, name, "", set(spec.names)) for key, spec in specs.items()}
    run = partial(run_parallel if concurrent and len(steps) > 1 else run_each, steps)
    hints = {key: result_hint(spec) for key, spec in specs.items()}
    returns = typing.TypedDict(name, hints)  # type: ignore[misc]
    combined = _function(merge_parameters(list(specs.values())), returns, run, stream=False)
    title = ", ".join(f"{key}: {spec.signature.name}" for key, spec in specs.items())
    return _as_service(combined, name, title, list(specs.values()), "", options)


def _step_spec(function: Any, label: str) -> StepSpec:
    return StepSpec(function, signature.read(function), label)


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _create_step(spec: StepSpec, name: str, main: str, sent: set[str]) -> Step:
    return Step(
        function=spec.function,
        label=f"{spec.label} of {name!r}",
        parameters=frozenset(spec.names),
        required=frozenset(spec.required),
        sent=frozenset(sent),
        main=main,
    )


def _name(given: str | None, names: Sequence[str], steps: Sequence[Any]) -> str:
    """Return the service's name, which must differ from those of its steps."""
    name = given or "_".join(names)
    if name in _services(steps):
        raise DefinitionError(
            f"{name!r} cannot contain itself: one of its steps is the service {name!r}. Set "
            "another name=..."
        )
    return name


def _services(functions: Sequence[Any]) -> Iterator[str]:
    for function in functions:
        service = getattr(function, "service", None)
        if service is not None:
            yield service.name
        yield from _services(getattr(function, PIECES, ()))


def _exposed(
    specs: Sequence[StepSpec], targets: Sequence[str], expose: Sequence[str]
) -> dict[str, Parameter]:
    """Return the parameters of later steps that callers may set."""
    if isinstance(expose, str):
        raise DefinitionError(f"expose must be a list of names: expose=[{expose!r}].")
    exposed = {}
    for name in expose:
        if name in specs[0].names:
            raise DefinitionError(
                f"expose: {specs[0].label} already has the parameter {name!r}. Remove it from "
                "expose."
            )
        owners = [
            (spec, item)
            for spec, target in zip(specs[1:], targets[1:], strict=True)
            for item in spec.signature.parameters
            if item.name == name != target and item.default is not MISSING
        ]
        if len(owners) != 1:
            labels = " and ".join(spec.label for spec, _ in owners) or "no later step"
            raise DefinitionError(
                f"expose: {labels} has a parameter {name!r} with a default. Exactly one later step "
                "must have such a parameter."
            )
        exposed[name] = owners[0][1]
    return exposed


def _function(
    parameters: Sequence[Parameter], returns: Any, run: Run, *, stream: bool
) -> Callable[..., Any]:
    """Return a function with these parameters, required ones first."""
    if stream and returns is not MISSING:
        returns = Iterator[returns]
    ordered = sorted(parameters, key=lambda item: item.default is not MISSING)
    signature = inspect.Signature(
        [
            inspect.Parameter(
                item.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=item.default,
                annotation=item.hint,
            )
            for item in ordered
        ],
        return_annotation=returns,
    )
    combined: Any = (as_generator if stream else as_function)(signature, run)
    combined.__signature__ = signature
    combined.__annotations__ = {
        item.name: item.hint for item in ordered if item.hint is not MISSING
    }
    if returns is not MISSING:
        combined.__annotations__["return"] = returns
    texts = {item.name: " ".join(item.description.split()) for item in ordered}
    combined.__doc__ = "\n".join(f"    {name}: {text}" for name, text in texts.items() if text)
    return typing.cast("Callable[..., Any]", combined)


def _as_service(
    combined: Any,
    name: str,
    title: str,
    specs: Sequence[StepSpec],
    result: str,
    options: dict[str, Any],
) -> ServiceFunction[..., Any]:
    combined.__name__ = combined.__qualname__ = name
    combined.__module__ = specs[-1].function.__module__
    combined.__doc__ = _doc(title, specs, combined.__doc__, " ".join(result.split()))
    setattr(combined, PIECES, tuple(spec.function for spec in specs))
    served: ServiceFunction[..., Any] = service(name=name, **options)(combined)
    return served


def _doc(title: str, specs: Sequence[StepSpec], parameters: str, result: str) -> str:
    """Return a docstring in Google's style from those of the steps."""
    lines = [
        f"- **{spec.signature.name}**: {spec.signature.description.splitlines()[0]}"
        for spec in specs
        if spec.signature.description
    ]
    parts = [title, "\n".join(lines)]
    parts += [f"Args:\n{parameters}"] if parameters else []
    parts += [f"Returns:\n    {result}"] if result else []
    return "\n\n".join(part for part in parts if part)
