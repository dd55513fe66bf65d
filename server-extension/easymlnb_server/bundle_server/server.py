"""The Jupyter server behind ``easymlnb serve-bundle``, and its settings."""

from pathlib import Path
from typing import cast

from jupyter_server.serverapp import ServerApp
from traitlets import TraitError
from traitlets.config import Config

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server import spelling
from easymlnb_server.app import EasyMLNB
from easymlnb_server.bundle_server.identity import ClusterIdentity
from easymlnb_server.context import STATE, ServerContext
from easymlnb_server.store.private_folder import make_private

EXTENSION = "easymlnb_server"
TRUST = "--EasyMLNB.trust_cluster=True"

NO_TOKEN = (
    "No token is set, so no one could call the services. Set EASYMLNB_TOKEN, from a secret of the "
    "cluster, or pass --trust-cluster if the cluster decides who can reach this port."
)
NOT_TRUSTING = (
    "EasyMLNB.trust_cluster is set, but not by --trust-cluster, so this server would ask for a "
    "login. Pass --trust-cluster, or set EASYMLNB_TRUST_CLUSTER=1."
)
BOTH = (
    "A token is set, and --trust-cluster says that callers need none. Remove one of them: with "
    "--trust-cluster, everyone who reaches this port may call."
)


def config_from(folder: Path, *, trusted: bool) -> Config:
    """Return Jupyter's settings, and create the folder; raises ``ValueError`` if that fails."""
    nothing = folder / "nothing"
    try:
        make_private(folder)
        nothing.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"The folder {folder} cannot be written ({error.strerror}). Mount a writable volume, "
            "and pass its path with --state-dir."
        ) from error
    config = Config()
    config.ServerApp = Config(
        allow_root=True,
        open_browser=False,
        port_retries=0,
        answer_yes=True,
        trust_xheaders=True,
        jpserver_extensions={EXTENSION: True},
        reraise_server_extension_failures=True,
        terminals_enabled=False,
        root_dir=str(nothing),
    )
    if trusted:
        # On a loopback address only names of this machine are accepted, as by Jupyter: a web page
        # whose name leads to that address could call otherwise.
        config.ServerApp.identity_provider_class = ClusterIdentity
    else:
        # The name under which a cluster reaches a container is not known here.
        config.ServerApp.allow_remote_access = True
    config.EasyMLNB = Config(state_dir=str(folder))
    return config


class BundleServerApp(ServerApp):
    """A Jupyter server that serves bundles; no configuration file changes it."""

    @property
    def failure(self) -> str:
        """Why a bundle does not start; empty if all do."""
        return cast("ServerContext", self.web_app.settings[STATE]).preloaded.failure

    def prepare(self, arguments: list[str]) -> None:
        """Check the settings and listen; raises ``ValueError``."""
        try:
            self.initialize(argv=arguments, find_extensions=False, starter_extension=EasyMLNB.name)
        except (EasyMLNBError, TraitError) as error:
            raise ValueError(str(error)) from error
        self._check()

    def _check(self) -> None:
        kinds = (type(self), EasyMLNB, type(self.identity_provider))
        wrong = [*spelling.unknown(self.config, kinds, ("EasyMLNB", "ServerApp"))]
        if self.extra_args:
            wrong.insert(0, f"{self.extra_args[0]!r} is not an option of this server.")
        if wrong:
            raise ValueError("\n".join(wrong))
        extension = cast("EasyMLNB", self.extension_manager.extension_points[EasyMLNB.name].app)
        if not extension.bundles:
            raise ValueError("No bundle is given. Pass the path of one.")
        provider = self.identity_provider
        given = bool(provider.token) and not provider.token_generated
        if extension.trust_cluster:
            if not isinstance(provider, ClusterIdentity):
                raise ValueError(NOT_TRUSTING)
            if given:
                raise ValueError(BOTH)
        elif not given:
            raise ValueError(NO_TOKEN)
