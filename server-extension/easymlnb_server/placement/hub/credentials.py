"""Credentials for requests to the Hub, and the user whose servers become nodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from easymlnb.contract.errors import NotReady
from easymlnb.contract.hub_config import OWN_TOKENS, ROLE

NO_HUB = "Placements require a server that was started by a JupyterHub."
NO_PROXY = (
    "The URL of the Hub's proxy is unknown. The administrator can set c.JupyterHub.public_url, "
    "or c.EasyMLNB.hub_proxy if nodes need another URL."
)

PUBLIC = ("JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_PUBLIC_HUB_URL")


@dataclass(frozen=True, slots=True)
class HubCredentials:
    """What a Hub gave a server that may start nodes.

    ``user`` owns the nodes; ``token`` opens the Hub at ``api_url``, and the nodes. ``proxy`` is the
    address of the Hub's proxy as nodes and this server reach it, ``home`` the path of this server's
    routes below it, with slashes at both ends. ``keys`` returns what opens the nodes,
    and may block for it, where that is not ``token``; ``refusal`` is what to say when it may not.
    """

    user: str = ""
    token: str = ""
    api_url: str = ""
    proxy: str = ""
    home: str = ""
    keys: Callable[[], str] | None = None
    refusal: str = (
        "This server has no permission to start nodes on the Hub. The administrator can allow it "
        f"with one line in jupyterhub_config.py: {OWN_TOKENS} (then restart this server)."
    )

    @classmethod
    def of(cls, environment: Mapping[str, str], proxy: str = "") -> "HubCredentials":
        """Return the account of a user's own server with this environment.

        What it lacks is empty; ``check`` says so when it is needed.
        """
        prefix = environment.get("JUPYTERHUB_SERVICE_PREFIX", "")
        return cls(
            user=environment.get("JUPYTERHUB_USER", ""),
            token=environment.get("JUPYTERHUB_API_TOKEN", ""),
            api_url=environment.get("JUPYTERHUB_API_URL", ""),
            proxy=(proxy or proxy_of(environment)).rstrip("/"),
            home=f"{prefix}easymlnb/" if prefix else "",
        )

    @classmethod
    def of_service(cls, environment: Mapping[str, str], proxy: str = "") -> "HubCredentials":
        """Return the account of a shared service that the Hub started; it has no ``user`` yet."""
        prefix = environment.get("JUPYTERHUB_SERVICE_PREFIX", "")
        return cls(
            token=environment.get("JUPYTERHUB_API_TOKEN", ""),
            api_url=environment.get("JUPYTERHUB_API_URL", ""),
            proxy=(proxy or proxy_of(environment)).rstrip("/"),
            home=prefix,
            refusal=(
                "The shared service has no permission to start servers of this user, or the Hub "
                "no longer has this user. The administrator can allow it with an entry of "
                f"c.JupyterHub.load_roles in jupyterhub_config.py: {ROLE}"
            ),
        )

    def check(self) -> None:
        """Raise ``NotReady`` where nodes cannot be asked for."""
        if not (self.user and self.token and self.api_url):
            raise NotReady(NO_HUB)
        if not self.proxy:
            raise NotReady(NO_PROXY)

    @property
    def headers(self) -> dict[str, str]:
        """What opens the Hub."""
        return {"Authorization": f"token {self.token}"}

    def node_token(self) -> str:
        """Return what opens the nodes; it may block. Raises ``NotReady`` or ``Forbidden``."""
        return self.keys() if self.keys is not None else self.token

    @property
    def address(self) -> str:
        """Where this server's routes answer through the proxy; raises ``NotReady``."""
        self.check()
        if not self.home:
            raise NotReady(NO_HUB)
        return f"{self.proxy}{self.home}"

    @property
    def link(self) -> str:
        """Where kernels on nodes dial in; raises ``NotReady``."""
        return "ws" + self.address.removeprefix("http") + "link"


def proxy_of(environment: Mapping[str, str]) -> str:
    """Return the address of the Hub's proxy as the Hub tells it; ``""`` if it does not."""
    for name in PUBLIC:
        parts = urlsplit(environment.get(name, ""))
        if parts.netloc:
            return f"{parts.scheme}://{parts.netloc}"
    return ""
