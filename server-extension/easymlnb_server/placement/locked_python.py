"""Start a kernel with the Python of a locked environment, in place of that of a kernelspec."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

_OF_OTHERS = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
"""Variables that point into another environment; those of conda are dropped, too."""


@dataclass(frozen=True, slots=True)
class LockedPython:
    """A locked environment that is built.

    - ``folder``: the virtual environment
    - ``runtime``: the folder that contains easymlnb, which belongs to the server
    """

    folder: Path
    runtime: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"

    def variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment variables of a worker, from those that it would inherit."""
        kept = {
            name: value
            for name, value in inherited.items()
            if name not in _OF_OTHERS and not name.startswith("CONDA_")
        }
        path = f"{self.python.parent}:{kept.get('PATH', '')}".rstrip(":")
        own = {"VIRTUAL_ENV": str(self.folder), "PATH": path, "PYTHONPATH": str(self.runtime)}
        return kept | own | {"PYTHONNOUSERSITE": "1"}


class LockedKernelSpecs(KernelSpecManager):
    """Knows one kernel: ipykernel in a locked environment."""

    def __init__(self, locked: LockedPython, specs: KernelSpecManager) -> None:
        super().__init__()
        self._locked = locked
        self._specs = specs

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[
                str(self._locked.python), "-m", "ipykernel_launcher", "-f", "{connection_file}",
            ],
            display_name=kernel_name,
            language="python",
            env=self._variables(kernel_name),
        )  # fmt: skip

    def _variables(self, kernel_name: str) -> dict[str, str]:
        """Return the variables of the kernelspec that do not point into its environment."""
        try:
            given = dict(self._specs.get_kernel_spec(kernel_name).env)
        except NoSuchKernel:
            return {}
        return {
            name: value
            for name, value in given.items()
            if name not in (*_OF_OTHERS, "PATH") and not name.startswith("CONDA_")
        }
