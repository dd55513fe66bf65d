"""``easymlnb hub check``: check a JupyterHub configuration before the Hub is restarted."""

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from easymlnb.cli.doctor import BAD, NOTE, OK, CheckResult
from easymlnb.contract.hub_config import (
    ACCESS,
    OWN_SCOPES,
    ROLE,
    SCOPES,
    SERVICE,
    TOKENS,
    USERS,
    has_scope,
)

PRINTED = "Add the output of: easymlnb hub config"
JUPYTER_PREFIX = "Bad config encountered during initialization: "
CHECK_TIMEOUT = 120.0
PACKAGES = ("easymlnb", "easymlnb_server")
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
"""Variables that the Hub passes to a service."""


def examine(file: Path) -> list[CheckResult]:
    """Check ``jupyterhub_config.py``, which is executed, and the service that it starts.

    The current folder is used as the Hub's working folder.
    """
    if not file.is_file():
        fix = "Give the path of the Hub's configuration: easymlnb hub check FILE"
        return [CheckResult("hub settings", BAD, f"there is no file {file}.", fix)]
    try:
        config = _read(file)
    except Exception as error:
        says = f"{file} raises {type(error).__name__}: {error}"
        fix = (
            "The Hub would fail to start as well. Run this check with the Hub's environment "
            "variables."
        )
        return [CheckResult("hub settings", BAD, says, fix)]
    hub = config.get("JupyterHub", {})
    service = _named(_list(hub.get("services")))
    if service is None:
        says = f"no service named {SERVICE!r} in c.JupyterHub.services."
        return [CheckResult("shared service", BAD, says, PRINTED)]
    rights = _rights(_list(hub.get("load_roles")), config.get("Spawner", {}))
    return [*_shadows(Path(service.get("cwd") or ".")), *_start(service), *rights, *_hub(hub)]


def _read(file: Path) -> Mapping[str, Any]:
    from traitlets.config.loader import PyFileConfigLoader

    found: Mapping[str, Any] = PyFileConfigLoader(file.name, str(file.parent)).load_config()
    return found


def _value(setting: Any, empty: Any) -> Any:
    """Return a setting, also if the file uses ``append`` or ``update``."""
    from traitlets.config.loader import LazyConfigValue

    if isinstance(setting, LazyConfigValue):
        return setting.get_value(empty)
    return empty if setting is None else setting


def _list(setting: Any) -> list[Mapping[str, Any]]:
    return [one for one in _value(setting, []) if isinstance(one, Mapping)]


def _named(services: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((one for one in services if one.get("name") == SERVICE), None)


def _shadows(folder: Path) -> Iterator[CheckResult]:
    """Report files that programs in this folder import in place of the package."""
    for name in PACKAGES:
        for found in (folder / f"{name}.py", folder / name / "__init__.py"):
            if found.is_file():
                says = f"{found.absolute()} has the same name as the package {name}."
                fix = (
                    "The service does not import this file, but other programs in this folder "
                    "do. Rename the file."
                )
                yield CheckResult("import path", NOTE, says, fix)


def _start(service: Mapping[str, Any]) -> Iterator[CheckResult]:
    """Run the service's own check of its settings, as the Hub would start it."""
    about = "shared service"
    command = [str(word) for word in service.get("command") or ()]
    if not command:
        says = "the service is not started by the Hub; its settings were not checked."
        fix = (
            "On the service's machine, run: easymlnb hub serve --check, with the service's other "
            "options."
        )
        yield CheckResult(about, NOTE, says, fix)
        return
    if shutil.which(command[0]) is None:
        yield CheckResult(
            about, BAD, f"its command {command[0]} is not an executable program.", PRINTED
        )
        return
    variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    more = service.get("environment") or {}
    variables |= {str(name): str(value) for name, value in more.items()}
    yield _check([*command, "--check"], service.get("cwd") or None, variables)


def _check(command: list[str], folder: str | None, variables: Mapping[str, str]) -> CheckResult:
    about = "shared service"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return CheckResult(about, BAD, f"its command failed to start: {error}", PRINTED)
    if done.returncode == 0:
        return CheckResult(about, OK, "the service starts with these settings")
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    reason = "\n".join(lines[-5:]).removeprefix("easymlnb: ").rpartition(JUPYTER_PREFIX)[2]
    says = reason or f"the service exits with code {done.returncode}."
    fix = "Fix this before you restart the Hub: a service that fails to start stops the Hub."
    return CheckResult(about, BAD, says, fix)


def _rights(roles: list[Mapping[str, Any]], spawner: Mapping[str, Any]) -> Iterator[CheckResult]:
    own = _scopes(one for one in roles if SERVICE in (one.get("services") or ()))
    missing = [scope for scope in SCOPES if not has_scope(scope, own)]
    if missing:
        says = f"the service has missing scopes: {', '.join(missing)}."
        yield CheckResult("role", BAD, says, f"An entry of c.JupyterHub.load_roles: {ROLE}")
    elif narrowed := [scope for scope in SCOPES if scope not in own]:
        says = f"the service's scopes are restricted: {', '.join(sorted(own))}"
        yield CheckResult("role", OK, f"{says} ({', '.join(narrowed)} apply to some users only)")
    else:
        yield CheckResult("role", OK, "the service has all required scopes")
    all_users = _scopes(one for one in roles if one.get("name") == "user")
    if _can_enter(all_users):
        yield CheckResult("users", OK, "users can log in to the service")
    elif any(_can_enter(_scopes([one])) for one in roles):
        yield CheckResult(
            "users", OK, "some users can log in to the service, through their own roles"
        )
    else:
        says = "no role allows users to log in to the service."
        yield CheckResult("users", BAD, says, f"An entry of c.JupyterHub.load_roles: {USERS}")
    tokens = set(_value(spawner.get("server_token_scopes"), []))
    lacking = [scope for scope in (*OWN_SCOPES, ACCESS) if scope not in tokens]
    if ACCESS in lacking:
        says = "users' servers cannot access the service, so 'publish' does not use it."
        yield CheckResult("users' servers", BAD, says, TOKENS)
    elif lacking:
        says = f"the tokens of users' servers have missing scopes: {', '.join(lacking)}."
        yield CheckResult("users' servers", NOTE, says, TOKENS)
    else:
        yield CheckResult(
            "users' servers", OK, "users' servers can publish, and start their own nodes"
        )


def _hub(hub: Mapping[str, Any]) -> Iterator[CheckResult]:
    if not _value(hub.get("allow_named_servers"), False):
        says = "workers run in named servers, which are disabled on this Hub."
        yield CheckResult("named servers", BAD, says, "c.JupyterHub.allow_named_servers = True")
    if _value(hub.get("tornado_settings"), {}).get("slow_spawn_timeout", 10) != 0:
        fix = 'c.JupyterHub.tornado_settings.update({"slow_spawn_timeout": 0})'
        yield CheckResult(
            "starts", NOTE, "the Hub would respond to a start only after several seconds.", fix
        )
    if not _value(hub.get("public_url"), ""):
        fix = 'c.JupyterHub.public_url = "https://...", or c.EasyMLNB.hub_proxy of the service.'
        yield CheckResult("public address", NOTE, "the URL of the Hub's proxy is unknown.", fix)


def _scopes(roles: Any) -> set[str]:
    return {str(scope) for role in roles for scope in role.get("scopes") or ()}


def _can_enter(scopes: Collection[str]) -> bool:
    return bool({ACCESS, "access:services"} & {*scopes})
