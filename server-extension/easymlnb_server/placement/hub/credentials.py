"""Credentials for requests to the Hub, and the user whose servers become nodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from easymlnb.contract.errors import NotReady
from easymlnb.contract.hub_config import HUB_URL, OWN_TOKENS, ROLE

HUB_AWAY = "The Hub does not respond. Try again in a moment."
NO_HUB = "Placements require a server that was started by a JupyterHub."
NO_PROXY = (
    "The URL of the Hub's proxy is unknown. The administrator can set c.JupyterHub.public_url, "
    f"the variable {HUB_URL} of a shared service on JupyterHub 5, or c.EasyMLNB.hub_proxy if "
    "nodes need another URL."
)

PUBLIC = ("JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_PUBLIC_HUB_URL", HUB_URL)


@dataclass(frozen=True, slots=True)
class HubCredentials:
    """What a server needs to start nodes.

    user: the owner of the nodes.
    token: for the Hub at ``api_url``, and for the nodes unless there are ``node_tokens``.
    proxy: the URL of the Hub's proxy, as nodes and this server reach it.
    path: where this server's routes are behind the proxy, with slashes at both ends.
    node_tokens: returns a token for the nodes; may block.
    refusal: the message for missing permissions.
    """

    user: str = ""
    token: str = ""
    api_url: str = ""
    proxy: str = ""
    path: str = ""
    node_tokens: Callable[[], str] | None = None
    refusal: str = (
        "This server has no permission to start nodes on the Hub. The administrator can allow it "
        f"with one line in jupyterhub_config.py: {OWN_TOKENS} (then restart this server)."
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], proxy: str = "") -> "HubCredentials":
        """Return the credentials of a user's own server.

        Fields for missing variables are empty; ``check`` reports them.
        """
        prefix = environment.get("JUPYTERHUB_SERVICE_PREFIX", "")
        return cls(
            user=environment.get("JUPYTERHUB_USER", ""),
            token=environment.get("JUPYTERHUB_API_TOKEN", ""),
            api_url=environment.get("JUPYTERHUB_API_URL", ""),
            proxy=(proxy or proxy_url(environment)).rstrip("/"),
            path=f"{prefix}easymlnb/" if prefix else "",
        )

    @classmethod
    def for_service(cls, environment: Mapping[str, str], proxy: str = "") -> "HubCredentials":
        """Return the credentials of a shared service that the Hub started; without a ``user``."""
        return replace(
            cls.from_environment(environment, proxy),
            user="",
            path=environment.get("JUPYTERHUB_SERVICE_PREFIX", ""),
            refusal=(
                "The shared service has no permission to start servers of this user, or the Hub "
                "no longer has this user. The administrator can allow it with an entry of "
                f"c.JupyterHub.load_roles in jupyterhub_config.py: {ROLE}"
            ),
        )

    def check(self) -> None:
        """Raise ``NotReady`` if they are not sufficient to request nodes."""
        if not (self.user and self.token and self.api_url):
            raise NotReady(NO_HUB)
        if not self.proxy:
            raise NotReady(NO_PROXY)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of requests to the Hub."""
        return {"Authorization": f"token {self.token}"}

    def node_token(self) -> str:
        """Return a token for the nodes; may block. Raises ``NotReady`` or ``Forbidden``."""
        return self.node_tokens() if self.node_tokens is not None else self.token

    @property
    def address(self) -> str:
        """The URL of this server's routes through the proxy; raises ``NotReady``."""
        self.check()
        if not self.path:
            raise NotReady(NO_HUB)
        return f"{self.proxy}{self.path}"

    @property
    def link(self) -> str:
        """The URL to which kernels on nodes connect; raises ``NotReady``."""
        return "ws" + self.address.removeprefix("http") + "link"


def proxy_url(environment: Mapping[str, str]) -> str:
    """Return the URL of the Hub's proxy from the Hub's variables; ``""`` if unknown."""
    for name in PUBLIC:
        parts = urlsplit(environment.get(name, ""))
        if parts.netloc:
            return f"{parts.scheme}://{parts.netloc}"
    return ""
