"""Traits of storage events."""

from typing import Any

from traitlets import Dict, HasTraits, TraitError, validate

from easymlnb_server.storage_events.models import Source, parse_sources


class StorageEventSettings(HasTraits):
    """Traits of folders and buckets that feed services."""

    storage_events = Dict(
        help="Folders and buckets whose new files services get as jobs, by name: service, folder "
        "or bucket, pattern, results, ...; on a shared service also user."
    ).tag(config=True)

    @validate("storage_events")
    def _sources(self, proposal: Any) -> dict[str, Any]:
        _parse(proposal["value"], shared=False)
        return dict(proposal["value"])

    def sources(self, *, shared: bool) -> dict[str, Source]:
        """Return the sources by name; raises ``TraitError``."""
        return _parse(self.storage_events, shared=shared)


def _parse(values: Any, *, shared: bool) -> dict[str, Source]:
    try:
        return parse_sources(values, shared=shared)
    except ValueError as error:
        raise TraitError(f"EasyMLNB.storage_events: {error}.") from error
