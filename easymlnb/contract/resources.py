"""Resources of a service's workers: how many there are, and what each may use."""

from typing import Any, Literal

import msgspec

from easymlnb.contract import units
from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.options import check_whole

PREFER: Literal["prefer"] = "prefer"
"""A GPU if the machine has any, else none."""

Gpu = float | Literal["prefer"]

_OWN = (
    "workers", "min_workers", "max_workers", "target_calls", "idle", "memory", "gpu", "idempotent",
)  # fmt: skip


class WorkerResources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The resources of a service's workers.

    ``min_workers`` is ``None`` if it equals the maximum. ``target_calls`` is the number of calls,
    running and queued, per worker; ``None`` for the number that a worker runs at once. ``idle`` is
    in seconds, ``memory`` in bytes, 0 for the server's default. ``gpu`` is a number of GPUs, a
    share of one, or ``PREFER``. ``idempotent`` allows a call to run again if its worker is lost.
    """

    min_workers: int | None = None
    target_calls: float | None = None
    idle: float = 600.0
    memory: int = 0
    gpu: Gpu = 0.0
    idempotent: bool = False

    def __post_init__(self) -> None:
        check_gpu(self.gpu)


def parse(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options for workers from ``options``, and return them as fields of the spec.

    Raises ``DefinitionError`` for an invalid value.
    """
    given = {name: options.pop(name, None) for name in _OWN}
    most, least = _workers(given["workers"], given["min_workers"], given["max_workers"])
    fields = {
        "min_workers": least,
        "target_calls": _target(given["target_calls"]),
        "idle": _unit("idle", units.parse_duration, given["idle"]),
        "memory": _unit("memory", units.parse_size, given["memory"]),
        "gpu": float(gpu) if type(gpu := given["gpu"]) is int else gpu,
        "idempotent": _truth("idempotent", given["idempotent"]),
    }
    resources = WorkerResources(
        **{name: value for name, value in fields.items() if value is not None}
    )
    return {**({} if most is None else {"workers": most}), "resources": resources}


def _workers(both: Any, least: Any, most: Any) -> tuple[int | None, int | None]:
    for name, value in (("workers", both), ("min_workers", least), ("max_workers", most)):
        if value is not None:
            check_whole(name, value, 0 if name == "min_workers" else 1)
    if both is not None and (least is not None or most is not None):
        raise DefinitionError(
            "workers= sets both limits. Use either workers=, or min_workers= and max_workers=."
        )
    if both is None and most is None and least is not None:
        most = max(1, least)
    if least is not None and least > most:
        raise DefinitionError(
            f"min_workers ({least}) must not be greater than max_workers ({most})."
        )
    if least is None and most is not None:
        least = 1
    return both or most, least


def _target(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise DefinitionError(f"target_calls must be a number greater than 0, not {value!r}.")
    return float(value)


def _truth(name: str, value: Any) -> bool | None:
    if value is not None and type(value) is not bool:
        raise DefinitionError(f"{name} must be True or False, not {value!r}.")
    return value


def _unit(name: str, read: Any, value: Any) -> Any:
    try:
        return None if value is None else read(value)
    except ValueError as error:
        raise DefinitionError(f"{name}: {error}") from error


def check_gpu(value: Any) -> None:
    """Raise ``DefinitionError`` unless ``value`` is a number of GPUs, a share, or ``PREFER``."""
    if value == PREFER:
        return
    number = type(value) in (int, float)
    if not number or not 0 <= value < float("inf") or (value > 1 and value != int(value)):
        raise DefinitionError(
            f"gpu must be a number of GPUs, a fraction such as 0.5, or 'prefer', not {value!r}."
        )
