"""Print the lower bounds of all run-time dependencies in ``setup.py`` as pip constraints.

An extra may need a newer release of a package than another one: the higher bound is printed.
"""

import distutils.core  # provided by setuptools
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

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
    bounds: dict[tuple[str, str], Version] = {}
    for requirement in map(Requirement, needed):
        if requirement.name in SKIPPED:
            continue
        lowest = [spec.version for spec in requirement.specifier if spec.operator == ">="]
        assert lowest, f"setup.py gives no lower bound for {requirement.name}"
        key = (requirement.name, f"; {requirement.marker}" if requirement.marker else "")
        bounds[key] = max(Version(lowest[0]), bounds.get(key, Version("0")))
    for (name, marker), version in sorted(bounds.items()):
        print(f"{name}=={version}{marker}")


if __name__ == "__main__":
    main()
