"""``ml.optimize``: try methods that make a PyTorch model faster or smaller, and return the best.

An extra, which needs ``easymlnb[torch]``; nothing else imports it. Every method is tried on
examples, because its effect depends on model and machine. A method that fails is a row of the table
with the reason, not an error.
"""

import copy
import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from easymlnb.contract import installation
from easymlnb.contract.options import named_options

if TYPE_CHECKING:
    import pandas
    import torch

ORIGINAL = "original"

GAIN = 1.05
"""How many times as fast as the original a method must be; smaller gains may be chance."""

SECONDS = 1.0
ROUNDS = 20
"""The examples run until one of these limits is reached, at least twice."""


@dataclass(frozen=True, slots=True)
class MethodResult:
    """The result of one method.

    size: bytes of the saved weights.
    seconds: the median for one example.
    error: the largest deviation, relative to the original's largest output.
    problem: the reason if there are no numbers.
    """

    how: str
    size: int | None = None
    seconds: float | None = None
    error: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Optimized:
    """The result of ``ml.optimize``: the best model and the trials it was chosen from.

    Attributes
    ----------
    model : torch.nn.Module
        The best model.
    how : str
        The method that made it, ``"original"`` if none was better.
    tolerance : float
        The largest accepted deviation.
    trials : tuple of MethodResult
        ``how``, ``size`` in bytes, ``seconds`` for one example (median), relative ``error``, and
        ``problem`` for a method that does not work here.
    """

    model: Any
    how: str
    tolerance: float
    trials: tuple[MethodResult, ...]

    @property
    def table(self) -> "pandas.DataFrame":
        """The trials as a DataFrame: ``size_mb``, ``ms``, ``error``, ``kept``, ``problem``."""
        installation.require("The table of trials", "pandas")
        import pandas

        return pandas.DataFrame(
            [
                {
                    "how": trial.how,
                    "size_mb": trial.size and trial.size / 1e6,
                    "ms": trial.seconds and trial.seconds * 1e3,
                    "error": trial.error,
                    "kept": trial.how == self.how,
                    "problem": trial.problem,
                }
                for trial in self.trials
            ]
        ).set_index("how")

    def __repr__(self) -> str:
        lines = [f"{'':2}{'how':10}{'MB':>10}{'ms':>10}{'error':>10}"]
        for trial in self.trials:
            mark = "*" if trial.how == self.how else ""
            if trial.size is None or trial.seconds is None or trial.error is None:
                lines.append(f"{mark:2}{trial.how:10}  {trial.problem}")
                continue
            numbers = f"{trial.size / 1e6:10.3f}{trial.seconds * 1e3:10.3f}{trial.error:10.2g}"
            lines.append(f"{mark:2}{trial.how:10}{numbers}  {trial.problem}".rstrip())
        return "\n".join(
            [*lines, f"* selected: the fastest variant with an error of at most {self.tolerance:g}"]
        )


@named_options
def optimize(
    model: "torch.nn.Module",
    how: Sequence[str] = ("compile", "bf16", "int8"),
    *,
    examples: Sequence[Any],
    tolerance: float = 0.01,
) -> Optimized:
    """Try to make a PyTorch model faster, and return the best result with a table of all.

    The model is set to evaluation mode and otherwise unchanged. Each method is tried on the
    examples, on this machine. A method must be at least 5 % faster than the original to be kept.

    Parameters
    ----------
    model : torch.nn.Module
    how : sequence of str, default ("compile", "bf16", "int8")
        ``"compile"``: ``torch.compile``. ``"bf16"``: weights and inputs in bfloat16, results in
        float32. ``"int8"``: linear and recurrent layers with 8-bit weights, on a CPU.
    examples : sequence
        Inputs: each a tensor, a tuple of arguments or a dict of keyword arguments.
    tolerance : float, default 0.01
        Largest deviation of any output, relative to the original's largest output.

    Returns
    -------
    Optimized

    Raises
    ------
    ValueError
        An unknown method, or no examples.
    TypeError
        ``model`` is not a ``torch.nn.Module``.
    """
    installation.require("ml.optimize", "torch")
    _check_arguments(model, how, examples)
    model.eval()
    variants, trials = _tried(model, how, examples)
    selected = best(trials, tolerance)
    return Optimized(variants[selected], selected, tolerance, tuple(trials))


def _tried(
    model: Any, how: Sequence[str], examples: Sequence[Any]
) -> tuple[dict[str, Any], list[MethodResult]]:
    """Return the variants of a model by method, and the trials."""
    expected = [_run(model, example) for example in examples]
    variants: dict[str, Any] = {ORIGINAL: model}
    trials = [_measured(ORIGINAL, model, examples, expected)]
    for method in how:
        with warnings.catch_warnings():
            # torch's own about its future; the table has what matters.
            warnings.simplefilter("ignore")
            try:
                variants[method] = METHODS[method](model)
                trials.append(_measured(method, variants[method], examples, expected))
            except Exception as error:
                trials.append(MethodResult(method, problem=_reason(error)))
    return variants, trials


def _check_arguments(model: Any, how: Sequence[str], examples: Sequence[Any]) -> None:
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"optimize expects a torch.nn.Module, not {type(model).__name__}.")
    if isinstance(how, str) or any(method not in METHODS for method in how):
        raise ValueError(f"how must be a list with values from {', '.join(METHODS)}, not {how!r}.")
    if not len(examples):
        raise ValueError(
            "optimize needs examples to compare the variants. Pass at least one input."
        )


def best(trials: Sequence[MethodResult], tolerance: float) -> str:
    """Return the fastest method within the tolerance, or the original if none is clearly faster."""
    original, *others = trials
    within = [
        (trial.seconds, trial.how)
        for trial in others
        if trial.seconds is not None and trial.error is not None and trial.error <= tolerance
    ]
    seconds, how = min(within, default=(0.0, ORIGINAL))
    return how if original.seconds and seconds * GAIN <= original.seconds else ORIGINAL


def _measured(
    how: str, model: Any, examples: Sequence[Any], expected: Sequence[Sequence[Any]]
) -> MethodResult:
    found = [_run(model, example) for example in examples]  # the first run also compiles
    pairs = zip(found, expected, strict=True)
    error = max((_error(*pair) for both in pairs for pair in _pairs(*both)), default=0.0)
    rounds: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(rounds) < 2 or (len(rounds) < ROUNDS and time.perf_counter() < until):
        started = time.perf_counter()
        for example in examples:
            _run(model, example)
        rounds.append(time.perf_counter() - started)
    return MethodResult(how, _size(model), median(rounds) / len(examples), error)


def _run(model: Any, example: Any) -> list[Any]:
    """Return the tensors of the model's output, after they are computed."""
    import torch

    with torch.inference_mode():
        if isinstance(example, Mapping):
            output = model(**example)
        elif isinstance(example, tuple):
            output = model(*example)
        else:
            output = model(example)
    found = list(_tensors(output))
    if any(tensor.is_cuda for tensor in found):
        torch.cuda.synchronize()
    return found


def _tensors(value: Any) -> Iterator[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _pairs(found: Sequence[Any], expected: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in expected]:
        raise ValueError("its outputs do not have the original's shapes")
    return zip(found, expected, strict=True)


def _error(found: Any, expected: Any) -> float:
    if not expected.numel():
        return 0.0
    wanted = expected.double()
    largest = float(wanted.abs().max()) or 1.0
    error = float((found.double() - wanted).abs().max()) / largest
    return error if error == error else float("inf")  # NaN is not within any tolerance


def _size(model: Any) -> int:
    import torch

    saved = io.BytesIO()
    torch.save(model.state_dict(), saved)
    return saved.tell()


def _reason(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {line}"[:200]


def _compiled(model: Any) -> Any:
    import torch

    return torch.compile(model)


def _bf16(model: Any) -> Any:
    import torch

    made = copy.deepcopy(model).to(torch.bfloat16)
    made.register_forward_pre_hook(_narrow, with_kwargs=True)
    made.register_forward_hook(_widen)
    return made


def _narrow(model: Any, args: Any, kwargs: Any) -> Any:
    import torch

    return tuple(_cast(args, torch.bfloat16)), _cast(kwargs, torch.bfloat16)


def _widen(model: Any, args: Any, output: Any) -> Any:
    import torch

    return _cast(output, torch.float32)


def _cast(value: Any, kind: Any) -> Any:
    """Return the value with its floating-point tensors as this type."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(kind) if value.is_floating_point() else value
    if type(value) in (tuple, list):
        return type(value)(_cast(item, kind) for item in value)
    if type(value) is dict:
        return {key: _cast(item, kind) for key, item in value.items()}
    return value


def _int8(model: Any) -> Any:
    import torch

    layers = (torch.nn.Linear, torch.nn.LSTM, torch.nn.GRU)
    # Only layers inside a model are replaced; a single layer is not.
    if not any(isinstance(layer, layers) for layer in list(model.modules())[1:]):
        raise ValueError("the model has no linear or recurrent layers")
    if any(weights.is_cuda for weights in model.parameters()):
        raise ValueError("int8 requires a CPU, but the model is on a GPU")
    quantization: Any = torch.ao.quantization
    return quantization.quantize_dynamic(model, set(layers), dtype=torch.qint8)


METHODS: dict[str, Callable[[Any], Any]] = {"compile": _compiled, "bf16": _bf16, "int8": _int8}
