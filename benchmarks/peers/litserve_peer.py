"""LitServe, one worker; the forest in batches of up to 64 that wait 10 ms."""

import sys
from typing import Any

import litserve
from models import forest, noop


class Noop(litserve.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: dict[str, Any]) -> float:
        return float(request["x"])

    def predict(self, x: float) -> float:
        return noop(x)

    def encode_response(self, output: float) -> float:
        return output


class Forest(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = forest()

    def decode_request(self, request: dict[str, Any]) -> list[float]:
        return list(request["x"])

    def batch(self, inputs: list[list[float]]) -> list[list[float]]:
        return inputs

    def predict(self, x: list[list[float]]) -> Any:
        return self.model.predict(x)

    def unbatch(self, output: Any) -> list[float]:
        return [float(value) for value in output]

    def encode_response(self, output: float) -> float:
        return output


if __name__ == "__main__":
    apis = [
        Noop(api_path="/noop"),
        Forest(api_path="/forest", max_batch_size=64, batch_timeout=0.01),
    ]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
