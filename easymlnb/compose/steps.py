"""Run several functions as one, one after another."""

import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from easymlnb.runtime import event_loop
from easymlnb.runtime.context import CURRENT_CALL, StepContext
from easymlnb.types import record

PIECES = "__easymlnb_pieces__"
"""The attribute of a combined function with its parts."""

END = object()

Run = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A function and the sources of its arguments.

    ``label`` names the step in messages. The step gets the caller's parameters ``sent``. The result
    of the previous step is passed as ``main``, or by name if ``main`` is empty.
    """

    function: Callable[..., Any]
    label: str
    parameters: frozenset[str]
    required: frozenset[str]
    sent: frozenset[str]
    main: str = ""

    def arguments(self, values: Mapping[str, Any], result: Any) -> dict[str, Any]:
        """Return the function's arguments; raises ``TypeError`` if names do not match."""
        own = {name: value for name, value in values.items() if name in self.sent}
        return {**own, **({self.main: result} if self.main else self._by_name(result, own))}

    def run(self, values: Mapping[str, Any], result: Any) -> Any:
        """Call the function, which may be async; errors have a note with the step."""
        with self.noted():
            return event_loop.await_result(self.function(**self.arguments(values, result)))

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Add a note with the step to errors of the block."""
        try:
            yield
        except Exception as error:
            error.add_note(f"In {self.label}.")
            raise

    def _by_name(self, result: Any, own: Mapping[str, Any]) -> Mapping[str, Any]:
        values = _named(result)
        needed = ", ".join(sorted(self.required))
        if values is None:
            raise TypeError(
                f"The step requires {needed} by name, but received one value of type "
                f"{type(result).__name__}."
            )
        missing = sorted(self.required - values.keys() - own.keys())
        unknown = sorted(map(str, values.keys() - self.parameters))
        if missing or unknown:
            problem = " and ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("has no value for", missing), ("has unknown values:", unknown))
                if names
            )
            raise TypeError(f"The result of the previous step {problem}.")
        return values


def _named(value: Any) -> Mapping[str, Any] | None:
    if hasattr(type(value), "__pydantic_fields__"):
        return {name: getattr(value, name) for name in type(value).__pydantic_fields__}
    fields = record.as_dict(value)
    return fields if isinstance(fields, Mapping) else None


# one after another


def run_in_sequence(steps: Sequence[Step], values: dict[str, Any]) -> Any:
    """Run the steps, each with the result of the previous one, and return the last result."""
    result: Any = {}
    for at, step in enumerate(steps):
        with step_progress(at, len(steps)):
            result = step.run(values, result)
    return result


def stream_items(steps: Sequence[Step], values: dict[str, Any]) -> Iterator[Any]:
    """Yield the items of the last step, which is a generator."""
    *before, last = steps
    result: Any = {}
    for at, step in enumerate(before):
        with step_progress(at, len(steps)):
            result = step.run(values, result)
    with step_progress(len(before), len(steps)), last.noted():
        items = event_loop.iterate(last.function(**last.arguments(values, result)))
    with closing(items):
        while True:
            # Between two items, progress is not that of the step.
            with step_progress(len(before), len(steps)), last.noted():
                item = next(items, END)
            if item is END:
                return
            yield item


def run_each(steps: Mapping[str, Step], values: dict[str, Any]) -> dict[str, Any]:
    """Run the steps with the same values, and return the results by name."""
    results = {}
    for at, (name, step) in enumerate(steps.items()):
        with step_progress(at, len(steps)):
            results[name] = step.run(values, {})
    return results


@contextmanager
def step_progress(at: int, count: int) -> Iterator[None]:
    """Scale the progress reported in the block to step ``at`` (from 0) of ``count``."""
    whole = CURRENT_CALL.get()
    if whole is None:
        yield
        return
    CURRENT_CALL.set(
        StepContext(whole, lambda done, text: whole.progress((at + done) / count, text))
    )
    try:
        yield
    finally:
        CURRENT_CALL.set(whole)


# as one function


def as_function(signature: inspect.Signature, run: Run) -> Callable[..., Any]:
    """Return a function with the signature that passes its arguments to ``run``."""

    def combined(*args: Any, **kwargs: Any) -> Any:
        return run(_bound(signature, args, kwargs))

    return combined


def as_generator(signature: inspect.Signature, run: Run) -> Callable[..., Any]:
    """Return a generator function with the signature that passes its arguments to ``run``."""

    def combined(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        yield from run(_bound(signature, args, kwargs))

    return combined


def _bound(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments
