"""MLServer without parallel workers; the forest in its batches of up to 64 that wait 10 ms.

Run as a program it writes its settings into the folder it is started in, and starts there.
"""

import json
import os
import sys
from pathlib import Path

import numpy
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, decode_args
from mlserver.types import InferenceRequest, InferenceResponse
from models import forest, noop


class Noop(MLModel):
    @decode_args
    async def predict(self, x: numpy.ndarray) -> numpy.ndarray:  # type: ignore[type-arg]
        return numpy.array([noop(float(x[0]))])


class Forest(MLModel):
    async def load(self) -> bool:
        self.model = forest()
        return True

    # Its batching takes no decorated method.
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        found = NumpyCodec.encode_output("y", numpy.asarray(self.model.predict(rows)))
        return InferenceResponse(model_name=self.name, outputs=[found])


def main(port: int) -> None:
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    Path("settings.json").write_text(
        json.dumps({"parallel_workers": 0, "debug": False, "host": "127.0.0.1", **ports})
    )
    batches = {"max_batch_size": 64, "max_batch_time": 0.01}
    for name, more in (("noop", {}), ("forest", batches)):
        Path(name).mkdir(exist_ok=True)
        model = {"name": name, "implementation": f"mlserver_peer.{name.title()}", **more}
        Path(name, "model-settings.json").write_text(json.dumps(model))
    program = str(Path(sys.executable).parent / "mlserver")
    os.execv(program, [program, "start", "."])


if __name__ == "__main__":
    main(int(sys.argv[1]))
