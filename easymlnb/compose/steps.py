"""Run several functions as one: one after another, or at the same time.

It stands here, and not where pipelines are defined, so that the traceback that an author reads
begins in the author's own step.
"""

import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from easymlnb.runtime import event_loop
from easymlnb.runtime.context import CURRENT_CALL, StepContext
from easymlnb.types import record

PIECES = "__easymlnb_pieces__"
"""The attribute of a combined function that holds those it was made of."""

END = object()

Run = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One function of several, and where its arguments come from.

    ``place`` says in words which one it is. Of what the caller sent it gets ``sent``; the result
    of the step before goes to the parameter ``main``, or to those of its names if that is empty.
    """

    function: Callable[..., Any]
    place: str
    parameters: frozenset[str]
    required: frozenset[str]
    sent: frozenset[str]
    main: str = ""

    def arguments(self, values: Mapping[str, Any], result: Any) -> dict[str, Any]:
        """Return what to call the function with; raises ``TypeError`` when names do not match."""
        own = {name: value for name, value in values.items() if name in self.sent}
        return {**own, **({self.main: result} if self.main else self._by_name(result, own))}

    def run(self, values: Mapping[str, Any], result: Any) -> Any:
        """Call the function, which may be async; an error says in which step it arose."""
        with self.named():
            return event_loop.plain(self.function(**self.arguments(values, result)))

    @contextmanager
    def named(self) -> Iterator[None]:
        """Note on errors of the block that they arose in this step."""
        try:
            yield
        except Exception as error:
            error.add_note(f"In {self.place}.")
            raise

    def _by_name(self, result: Any, own: Mapping[str, Any]) -> Mapping[str, Any]:
        found = _named(result)
        needed = ", ".join(sorted(self.required))
        if found is None:
            raise TypeError(
                f"The step requires {needed} by name, but received one value of type "
                f"{_kind(result)}."
            )
        missing = sorted(self.required - found.keys() - own.keys())
        unknown = sorted(map(str, found.keys() - self.parameters))
        if missing or unknown:
            said = " and ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("has no value for", missing), ("has unknown values:", unknown))
                if names
            )
            raise TypeError(f"The result of the previous step {said}.")
        return found


def _named(value: Any) -> Mapping[str, Any] | None:
    if hasattr(type(value), "__pydantic_fields__"):
        return {name: getattr(value, name) for name in type(value).__pydantic_fields__}
    found = record.as_dict(value)
    return found if isinstance(found, Mapping) else None


def _kind(value: Any) -> str:
    return type(value).__name__


# one after another


def run_in_sequence(steps: Sequence[Step], values: dict[str, Any]) -> Any:
    """Return the result of the last step; each gets that of the one before."""
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
    with step_progress(len(before), len(steps)), last.named():
        found = event_loop.items(last.function(**last.arguments(values, result)))
    with closing(found):
        while True:
            # Between two items it is the caller who tells of progress, not the step.
            with step_progress(len(before), len(steps)), last.named():
                item = next(found, END)
            if item is END:
                return
            yield item


def run_each(steps: Mapping[str, Step], values: dict[str, Any]) -> dict[str, Any]:
    """Return each step's result by its name; all get the same values, one after the other."""
    found = {}
    for at, (name, step) in enumerate(steps.items()):
        with step_progress(at, len(steps)):
            found[name] = step.run(values, {})
    return found


@contextmanager
def step_progress(at: int, count: int) -> Iterator[None]:
    """Take the progress that is told in the block as that of step ``at`` (from 0) of ``count``."""
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


def function(signature: inspect.Signature, run: Run) -> Callable[..., Any]:
    """Return a function of that signature, which hands what it is called with to ``run``."""

    def combined(*args: Any, **kwargs: Any) -> Any:
        return run(_bound(signature, args, kwargs))

    return combined


def generator(signature: inspect.Signature, run: Run) -> Callable[..., Any]:
    """Return the like for a stream of items."""

    def combined(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        yield from run(_bound(signature, args, kwargs))

    return combined


def _bound(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments
