"""Ray Serve, one replica of each; the forest in its batches of up to 64 that wait 10 ms."""

import sys
import time

from models import forest, noop
from ray import serve
from starlette.requests import Request


@serve.deployment(max_ongoing_requests=200)
class Noop:
    async def __call__(self, request: Request) -> float:
        return noop((await request.json())["x"])


@serve.deployment(max_ongoing_requests=200)
class Forest:
    def __init__(self) -> None:
        self.model = forest()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.01)
    async def predict(self, rows: list[list[float]]) -> list[float]:
        return [float(value) for value in self.model.predict(rows)]

    async def __call__(self, request: Request) -> float:
        found: float = await self.predict((await request.json())["x"])
        return found


if __name__ == "__main__":
    serve.start(http_options={"port": int(sys.argv[1])})
    serve.run(Noop.bind(), name="noop", route_prefix="/noop")
    serve.run(Forest.bind(), name="forest", route_prefix="/forest")
    while True:
        time.sleep(60)
