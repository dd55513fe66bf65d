"""Compare the packages that workers run with to those at publishing."""

from collections.abc import Mapping

import msgspec

PYTHON = "python"
"""The name under which Python itself is compared."""

NAMED = 5
"""Number of packages in a sentence."""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How the environment of the latest worker differs from that at publishing.

    - ``changed``: the version at publishing and the present one, by package
    - ``missing``: packages that are no longer installed, with their version at publishing
    """

    changed: dict[str, tuple[str, str]] = {}
    missing: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing)

    @property
    def sentence(self) -> str:
        """The differences in a sentence; empty if there are none."""
        found = [f"{name} {old} -> {new}" for name, (old, new) in self.changed.items()]
        found += [f"{name} {old} -> not installed" for name, old in self.missing.items()]
        if not found:
            return ""
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        return f"Packages changed since publishing: {', '.join(found[:NAMED])}{more}."


def drift(recorded: Mapping[str, str], present: Mapping[str, str]) -> Drift:
    """Compare versions by package; a recorded package that is not present is missing."""
    return Drift(
        changed={
            name: (version, present[name])
            for name, version in sorted(recorded.items())
            if name in present and present[name] != version
        },
        missing={
            name: version for name, version in sorted(recorded.items()) if name not in present
        },
    )
