"""The services of exposed models in a template's worker, with the version that predicts now.

The server reports when the alias ``production`` moves, or when a model gets a version. Only the
numbers of versions are kept here; the models are in the cache of the worker.
"""

from easymlnb.contract.errors import ModelNotFound
from easymlnb.model_store import source
from easymlnb.runtime.model_pins import ServedVersion
from easymlnb.runtime.served_models import MODELS, ModelSlot
from easymlnb.runtime.service_lookup import FIND_MORE
from easymlnb.services.definition import Service
from easymlnb.templates import exposed, serving

PRODUCTION, LATEST = "production", "latest"


class FollowedModel:
    """An exposed model: its versions under ``production`` and ``latest``, 0 for none."""

    def __init__(self, name: str) -> None:
        found = source.client().models.get(name)
        model = str(found["name"])
        numbers = {PRODUCTION: found["aliases"].get(PRODUCTION, 0), LATEST: found["latest"] or 0}
        self.name = name
        self._slots = [self._slot(model, ref, number) for ref, number in numbers.items()]
        self._service: tuple[int, Service] | None = None

    def service(self) -> Service | None:
        """Return the service of the version that predicts; ``None`` if there is none."""
        slot = next((slot for slot in self._slots if slot.current.version), None)
        if slot is None:
            return None
        version = slot.current.version
        if self._service is None or self._service[0] != version:
            self._service = version, self._made(slot, version)
        return self._service[1]

    def _made(self, slot: ModelSlot, version: int) -> Service:
        service = exposed.service_of(self.name, serving.predictor(self.name, version))
        function = service.function

        def pinned(**values: object) -> object:
            slot.served()  # names the version in the answer
            return function(**values)

        service.function = pinned
        return service

    def _slot(self, model: str, ref: str, number: int) -> ModelSlot:
        def load(wanted: int, token: str) -> ServedVersion:
            source.ACCESS.receive(token)
            serving.predictor(self.name, wanted)  # a broken version stays out
            return ServedVersion(model, wanted, None)

        slot = ModelSlot(ref, ServedVersion(model, number, None), load, exclusive=False)
        MODELS.add(slot)
        return slot


FOLLOWED: dict[str, FollowedModel] = {}


def find_model(name: str) -> Service | None:
    """Return the service of an exposed model; ``None`` if there is no such model."""
    followed = FOLLOWED.get(name)
    if followed is None:
        try:
            followed = FOLLOWED[name] = FollowedModel(name)
        except ModelNotFound:
            return None
    return followed.service()


def follow_models() -> None:
    """Answer for exposed models in this process."""
    if find_model not in FIND_MORE:
        FIND_MORE.append(find_model)
