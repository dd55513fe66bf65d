"""Traits of bridges to brokers."""

from typing import Any

from traitlets import Dict, HasTraits, TraitError, validate

from easymlnb_server.messaging.models import Bridge, parse_bridges


class MessagingSettings(HasTraits):
    """Traits of bridges to brokers."""

    bridges = Dict(
        help="Bridges to MQTT and Kafka by name: url, subject, service, reply, dead_letters, ...; "
        "on a shared service also user."
    ).tag(config=True)

    @validate("bridges")
    def _bridges(self, proposal: Any) -> dict[str, Any]:
        _parse(proposal["value"], shared=False)
        return dict(proposal["value"])

    def parsed_bridges(self, *, shared: bool) -> dict[str, Bridge]:
        """Return the bridges by name; raises ``TraitError``."""
        return _parse(self.bridges, shared=shared)


def _parse(values: Any, *, shared: bool) -> dict[str, Bridge]:
    try:
        return parse_bridges(values, shared=shared)
    except ValueError as error:
        raise TraitError(f"EasyMLNB.bridges: {error}.") from error
