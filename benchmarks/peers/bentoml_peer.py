"""BentoML, one worker; the forest with its adaptive batching."""

import bentoml
import numpy
from models import forest, noop


@bentoml.service(workers=1, traffic={"timeout": 60})
class Peer:
    def __init__(self) -> None:
        self.model = forest()

    @bentoml.api
    def noop(self, x: float) -> float:
        return noop(x)

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=60_000)
    def forest(self, x: numpy.ndarray) -> numpy.ndarray:  # type: ignore[type-arg]
        return numpy.asarray(self.model.predict(x))
