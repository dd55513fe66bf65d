"""Print the lower bounds of all run-time dependencies in ``setup.py`` as pip constraints."""

import distutils.core  # provided by setuptools
from pathlib import Path

from packaging.requirements import Requirement

SETUP = Path(__file__).parent.parent / "setup.py"
SKIPPED_EXTRAS = {"dev", "all"}
"""``dev`` adds tools that users do not install, ``all`` repeats other extras."""
SKIPPED = {"torch"}
"""Pinned in ``scripts/torch.txt``: only some releases have a CPU build on the default index."""


def main() -> None:
    distribution = distutils.core.run_setup(str(SETUP), stop_after="init")
    needed = list(distribution.install_requires)
    for extra, requirements in distribution.extras_require.items():
        needed += [] if extra in SKIPPED_EXTRAS else requirements
    for requirement in sorted({Requirement(text) for text in needed}, key=str):
        if requirement.name in SKIPPED:
            continue
        lowest = [spec.version for spec in requirement.specifier if spec.operator == ">="]
        assert lowest, f"setup.py gives no lower bound for {requirement.name}"
        marker = f"; {requirement.marker}" if requirement.marker else ""
        print(f"{requirement.name}=={lowest[0]}{marker}")


if __name__ == "__main__":
    main()
