"""Which services of a notebook a worker serves, and what they need. Pure functions."""

from collections.abc import Iterable

from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.resources import PREFER, Gpu
from easymlnb.contract.spec import ServiceSpec


def select_specs(specs: tuple[ServiceSpec, ...], names: tuple[str, ...]) -> tuple[ServiceSpec, ...]:
    """Return the named services, or all without names; raises ``DeploymentFailed``."""
    by_name = {spec.name: spec for spec in specs}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise DeploymentFailed(
            f"The notebook defines no service named {', '.join(map(repr, missing))}. Its "
            f"services: {', '.join(by_name) or 'none'}."
        )
    if not by_name:
        raise DeploymentFailed(
            "The notebook defines no service. Decorate a function with @ml.service."
        )
    return tuple(by_name[name] for name in names) if names else specs


def required_gpus(specs: tuple[ServiceSpec, ...], *, training: bool = False) -> Gpu:
    """Return the GPUs that a worker with all these services needs.

    Only a job's worker trains, so only it needs the GPUs of a ``training``.
    """
    requested = [spec.resources.gpu for spec in specs if training or spec.training is None]
    required = max((gpu for gpu in requested if gpu != PREFER), default=0.0)
    return required or (PREFER if PREFER in requested else 0.0)


def notebook_services(specs: Iterable[ServiceSpec]) -> tuple[str, ...]:
    """Return the services that a notebook defines; those of models follow from its code."""
    return tuple(spec.name for spec in specs if not spec.template)
