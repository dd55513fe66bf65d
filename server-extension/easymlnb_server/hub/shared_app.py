"""The extension and its Jupyter server as a shared service.

This process has a token that starts servers of all users, so it never runs published code under
its own account. An invalid setting ends the process.
"""

from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp
from traitlets import Bool, TraitError, validate
from traitlets.config import Config
from traitlets.config.loader import ArgumentError, KVArgParseConfigLoader

from easymlnb_server import spelling
from easymlnb_server.app import EasyMLNB
from easymlnb_server.hub.identity_provider import HubIdentity, OwnRoutesOnly

OURS = ("EasyMLNB", "HubIdentity", "ServerApp")
"""Configuration sections of this program."""


class SharedService(EasyMLNB):
    """The extension of a shared service. It has no placement on its own machine."""

    shared = Bool(True).tag(config=True)

    @validate("shared")
    def _shared(self, proposal: Any) -> bool:
        if not proposal["value"]:
            raise TraitError("EasyMLNB.shared must be True in the Hub's shared service.")
        return True

    def initialize_settings(self) -> None:
        super().initialize_settings()
        if self._components.hub is None:
            raise TraitError("The shared service requires a token of its Hub and the Hub's login.")

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        try:
            await super()._start_jupyter_server_extension(serverapp)
        except Exception as error:
            # Jupyter would log the error and continue with a part of the extension.
            self.log.critical("The shared service failed to start: %s", error, exc_info=True)
            assert isinstance(serverapp, SharedServer)
            serverapp.failed = True
            serverapp.stop()


class SharedServer(ServerApp):
    """Jupyter's server of the shared service; no file or option changes the ``forced`` settings."""

    forced = Config()
    failed = False
    """Whether the extension did not start."""

    def init_server_extensions(self) -> None:
        self.update_config(self.forced)
        super().init_server_extensions()
        # The extension's configuration file may also have changed them.
        self.update_config(self.forced)

    def check(self) -> None:
        """Raise ``ValueError`` unless this is a shared service and all settings are known."""
        service = self.extension_manager.extension_points[EasyMLNB.name].app
        kinds = (type(self), SharedService, HubIdentity, OwnRoutesOnly)
        wrong = [*spelling.unknown(self.config, kinds, OURS)]
        if self.extra_args:
            wrong.insert(0, f"{self.extra_args[0]!r} is not an option of the shared service.")
        if wrong:
            raise ValueError("\n".join(wrong))
        if not (
            isinstance(service, SharedService)
            and isinstance(self.identity_provider, HubIdentity)
            and isinstance(self.authorizer, OwnRoutesOnly)
        ):
            raise ValueError("The shared service is not configured as a Hub service.")

    def _create_loader(
        self, argv: Any, aliases: Any, flags: Any, classes: Any
    ) -> KVArgParseConfigLoader:
        return _StrictLoader(argv, aliases, flags, classes=classes, log=self.log)


class _StrictLoader(KVArgParseConfigLoader):
    """Rejects unknown options, for which Jupyter only logs a warning."""

    def _handle_unrecognized_alias(self, arg: str) -> None:
        raise ArgumentError(f"--{arg} is not an option of the shared service.")


def read_file(file: Path) -> None:
    """Load a configuration file as Jupyter does; raises ``ValueError`` if that fails."""
    if file.suffix not in (".py", ".json"):
        raise ValueError(
            f"The name of {file} must end with .py or .json, like other Jupyter configuration "
            "files."
        )
    if not file.is_file():
        raise ValueError(
            f"There is no configuration file {file}. Create the file, or correct --config."
        )
    python, json = ServerApp.python_config_loader_class, ServerApp.json_config_loader_class
    loader = json if file.suffix == ".json" else python
    try:
        loader(file.name, path=str(file.parent)).load_config()
    except Exception as error:
        raise ValueError(f"{file} cannot be used: {type(error).__name__}: {error}") from error


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Return the extension (Jupyter calls this by name)."""
    return [{"module": "easymlnb_server.hub.shared_app", "app": SharedService}]
