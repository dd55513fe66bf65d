"""Traits for connections and slow clients."""

from dataclasses import dataclass

from traitlets import Bool, Float, HasTraits, Integer

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Inbound:
    """How long a request may take to arrive, and how many connections may be open; 0: any."""

    head_timeout: float = 10.0
    body_timeout: float = 10.0
    body_rate: float = 1000.0
    connections: int = 2000
    per_address: int = 500


class InboundSettings(HasTraits):
    """Traits of the extension."""

    fast_path = Bool(
        True,
        help="Answer simple calls without Tornado's and Jupyter's request handlers, which halves "
        "the server's work per call.",
    ).tag(config=True)
    head_timeout = Float(
        10.0, min=0.0, help="Maximum seconds until all headers of a request arrived; 0: unlimited."
    ).tag(config=True)
    body_timeout = Float(
        10.0,
        min=0.0,
        help="Seconds for which a body may arrive more slowly than body_rate; 0: unlimited.",
    ).tag(config=True)
    body_rate = Integer(
        1000, min=1, help="Minimum bytes per second of a body after body_timeout."
    ).tag(config=True)
    connections = Integer(
        2000,
        min=0,
        help="Maximum number of open HTTP connections, at most half of the process's file "
        "descriptors; above it, the longest idle connection is closed. 0: unlimited.",
    ).tag(config=True)
    connections_per_address = Integer(
        500,
        min=0,
        help="Maximum number of idle connections per client address; ignored with "
        "ServerApp.trust_xheaders, where all connections come from a proxy. 0: unlimited.",
    ).tag(config=True)

    def make_inbound(self, *, proxied: bool) -> Inbound:
        """Return the limits as they are set; ``proxied`` says that addresses are a proxy's."""
        return Inbound(
            head_timeout=self.head_timeout,
            body_timeout=self.body_timeout,
            body_rate=float(self.body_rate),
            connections=_affordable(self.connections),
            per_address=0 if proxied else self.connections_per_address,
        )


def _affordable(connections: int) -> int:
    """Return a number of connections that leaves descriptors for everything else."""
    if resource is None or not connections:
        return connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == resource.RLIM_INFINITY else min(connections, soft // 2)
