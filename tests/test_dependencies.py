"""What the packages import is declared, and what the scripts install is pinned."""

import ast
import os
import re
import sys
from functools import cache
from importlib.metadata import distributions, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
SOURCES = (ROOT / "easymlnb", ROOT / "server-extension")
OWN = {"easymlnb", "easymlnb_server"}
OPTIONAL = {"matplotlib", "tqdm"}
"""Used only where an author's own code has imported them."""


@cache
def imported() -> frozenset[str]:
    """Return the top-level modules that the packages import, apart from the standard library."""
    found = set()
    for path in (path for source in SOURCES for path in source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return frozenset(found - sys.stdlib_module_names - OWN)


def test_every_import_is_declared() -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in requires("easymlnb") or ()}
    provided = packages_distributions()
    for module in imported() - OPTIONAL:
        owners = {canonicalize_name(name) for name in provided.get(module, [module])}
        assert owners & declared, f"setup.py does not name the distribution of {module}: {owners}"


@pytest.mark.skipif(
    os.environ.get("EASYMLNB_TEST_VERSIONS") != "locked",
    reason="only scripts/test without --newest and --oldest installs from the lock file",
)
def test_every_installed_package_is_in_the_lock_file() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {
        (canonicalize_name(name), version)
        for name, version in re.findall(r"^([\w.-]+)==([\w.+]+)", text, re.MULTILINE)
    }
    torch = (ROOT / "scripts/torch.txt").read_text(encoding="utf-8").strip()
    for found in distributions():
        name, version = canonicalize_name(found.name), found.version.partition("+")[0]
        if f"{name}=={version}" != torch and name != "easymlnb":
            assert (name, version) in locked, f"{name} {version} is not in requirements.lock"
