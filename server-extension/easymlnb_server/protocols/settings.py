"""Traits of other protocols."""

from traitlets import HasTraits, Integer, Unicode


class ProtocolSettings(HasTraits):
    """Traits of the extension."""

    grpc_port = Integer(
        0,
        min=0,
        max=65535,
        help="Port on which services are models of the Open Inference Protocol by gRPC; 0: off. "
        "Needs the extra grpc. It has TLS if ServerApp has a certfile and a keyfile.",
    ).tag(config=True)
    grpc_ip = Unicode(help="IP address of the gRPC port; default: ServerApp.ip.").tag(config=True)
