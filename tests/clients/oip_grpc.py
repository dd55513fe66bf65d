"""Calls the models of a server with Triton's gRPC clients, and prints what they get.

Arguments: host and port; token; folder for the function that is canceled.
"""

import asyncio
import json
import queue
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as sync_client
import tritonclient.grpc.aio as async_client
from oip_values import done, failure, shown

URL, TOKEN, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
AUTH = {"authorization": f"Bearer {TOKEN}"}


def tensor(name: str, values: Any, datatype: str) -> Any:
    array = np.asarray(values)
    found = sync_client.InferInput(name, array.shape, datatype)
    found.set_data_from_numpy(array)
    return found


def texts(*values: str) -> Any:
    return np.array([one.encode() for one in values], dtype=np.object_)


async def walk(client: Any) -> dict[str, Any]:
    async def ask(name: str, *arguments: Any, **options: Any) -> Any:
        return await done(getattr(client, name)(*arguments, headers=AUTH, **options))

    def infer(model: str, *inputs: Any, headers: Any = AUTH, **options: Any) -> Any:
        return client.infer(model, list(inputs), headers=headers, **options)

    async def value(model: str, *inputs: Any, name: str = "output", **options: Any) -> Any:
        return shown((await done(infer(model, *inputs, **options))).as_numpy(name))

    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    x, large = tensor("x", grid, "FP32"), np.ones((1000, 1000), np.float32)
    whole = (await done(infer("oip_scale", x, request_id="mine", model_version="1"))).get_response()
    doubled = (await done(infer("oip_scale", tensor("x", large, "FP32")))).as_numpy("output")
    slow = tensor("how", texts("slow"), "BYTES")
    return {
        "live": await done(client.is_server_live()),
        "ready": await ask("is_model_ready", "oip_scale"),
        "server": (await ask("get_server_metadata", as_json=True))["name"],
        "model": await ask("get_model_metadata", "oip_scale", as_json=True),
        "index": await ask("get_model_repository_index", as_json=True),
        "value": await value("oip_scale", x),
        "half": await value("oip_scale", tensor("x", grid.astype(np.float16), "FP16")),
        "large": [list(doubled.shape), float(doubled.min()), float(doubled.max())],
        "about": [whole.model_name, whole.model_version, whole.id],
        "words": await value("oip_words", tensor("text", texts("é"), "BYTES")),
        "stats": await value(
            "oip_stats", tensor("values", [1.0, 3.0], "FP64"), name="most",
            outputs=[sync_client.InferRequestedOutput("most")],
        ),
        "rows": await value("oip_batched", x),
        "statistics": await ask("get_inference_statistics", "oip_scale", as_json=True),
        "all": await ask("get_inference_statistics", as_json=True),
        "noop": len((await done(infer("oip_noop"))).get_response().outputs),
        "errors": {
            "input": await failure(lambda: infer("oip_add", x)),
            "unknown": await failure(lambda: ask("get_model_metadata", "nosuch")),
            "stream": await failure(lambda: infer("oip_count", tensor("to", [2], "INT64"))),
            "author": await failure(
                lambda: infer("oip_fail", tensor("how", texts("bug"), "BYTES"))
            ),
            "told": await failure(lambda: infer("oip_fail", tensor("how", texts("told"), "BYTES"))),
            "limit": await failure(lambda: infer("oip_fail", slow, timeout=200_000)),
            "deadline": await failure(lambda: infer("oip_fail", slow, client_timeout=0.3)),
            "login": await failure(lambda: infer("oip_scale", x, headers={})),
            "wrong": await failure(
                lambda: infer("oip_scale", x, headers={"authorization": "Bearer wrong"})
            ),
            "version": await failure(lambda: infer("oip_scale", x, model_version="9")),
        },
    }  # fmt: skip


def stream(client: Any) -> list[Any]:
    """Return what a stream of two requests, the second of which fails, answers."""
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=AUTH)
    client.async_stream_infer("oip_count", [tensor("to", [3], "INT64")])
    found = [answers.get(timeout=30) for _ in range(3)]
    client.async_stream_infer("nosuch", [])
    found.append(answers.get(timeout=30))
    client.stop_stream()
    return [str(error) if error else shown(one.as_numpy("output")) for one, error in found]


async def streamed(client: Any) -> list[Any]:
    async def requests() -> AsyncIterator[Any]:
        for to in (2, 1):
            yield {"model_name": "oip_count", "inputs": [tensor("to", [to], "INT64")]}

    answers = client.stream_infer(requests(), headers=AUTH)
    return [shown(one.as_numpy("output")) async for one, error in answers]


async def appears(path: Path) -> bool:
    """Wait for a file, for at most a minute; return whether it is there."""
    for _ in range(3000):
        if await asyncio.to_thread(path.exists):
            return True
        await asyncio.sleep(0.02)
    return False


async def nap(client: Any) -> bool:
    """Cancel a call that runs, and return whether its function was stopped."""
    inputs = [tensor("folder", texts(str(FOLDER)), "BYTES")]
    call = asyncio.ensure_future(client.infer("oip_nap", inputs, headers=AUTH))
    assert await appears(FOLDER / "started")
    call.cancel()
    return await appears(FOLDER / "stopped")


async def main() -> None:
    client = sync_client.InferenceServerClient(URL)
    found = {"sync": await walk(client), "stream": stream(client)}
    client.load_model("oip_noop", headers=AUTH)
    found["loaded"] = client.is_model_ready("oip_noop", headers=AUTH)
    client.close()
    async with async_client.InferenceServerClient(URL) as other:
        found |= {"streamed": await streamed(other)}
        found["stopped"] = await nap(other)
        found["async"] = await walk(other)
        await other.unload_model("oip_noop", headers=AUTH)
    print(json.dumps(found))


asyncio.run(main())
