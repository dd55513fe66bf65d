"""Calls the models of a server with Triton's HTTP clients, and prints what they get.

Arguments: host, port and base path of the routes; token.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as sync_client
import tritonclient.http.aio as async_client
from oip_values import done, failure, shown

URL, TOKEN = sys.argv[1], sys.argv[2]


def tensor(kind: Any, name: str, values: Any, datatype: str, *, binary: bool = True) -> Any:
    array = np.asarray(values)
    found = kind(name, array.shape, datatype)
    found.set_data_from_numpy(array, binary_data=binary)
    return found


def texts(values: list[str]) -> Any:
    return np.array([one.encode() for one in values], dtype=np.object_)


async def describe(client: Any) -> dict[str, Any]:
    async def ask(name: str, *arguments: Any) -> Any:
        return await done(getattr(client, name)(*arguments, headers=AUTH))

    return {
        "live": await ask("is_server_live"),
        "ready": await ask("is_server_ready"),
        "model_ready": await ask("is_model_ready", "oip_scale"),
        "server": await ask("get_server_metadata"),
        "model": await ask("get_model_metadata", "oip_scale"),
        "table": await ask("get_model_metadata", "oip_table"),
        "version": await ask("get_model_metadata", "oip_scale", "1"),
        "config": await ask("get_model_config", "oip_batched"),
        "index": await ask("get_model_repository_index"),
        "statistics": await ask("get_inference_statistics", "oip_scale"),
        "all": await ask("get_inference_statistics"),
        "unknown": await failure(lambda: client.get_model_metadata("nosuch", headers=AUTH)),
    }


AUTH = {"Authorization": f"token {TOKEN}"}


class Caller:
    """Calls models with one client."""

    def __init__(self, client: Any, module: Any) -> None:
        self.client = client
        self.module = module

    def input(self, name: str, values: Any, datatype: str, binary: bool = True) -> Any:
        return tensor(self.module.InferInput, name, values, datatype, binary=binary)

    def output(self, name: str, binary: bool = True) -> Any:
        return self.module.InferRequestedOutput(name, binary_data=binary)

    async def infer(self, model: str, *inputs: Any, headers: Any = None, **options: Any) -> Any:
        sent = AUTH if headers is None else headers
        return await done(self.client.infer(model, list(inputs), headers=dict(sent), **options))

    async def value(self, model: str, *inputs: Any, name: str = "output", **options: Any) -> Any:
        result = await self.infer(model, *inputs, **options)
        return shown(result.as_numpy(name))


async def walk(caller: Caller) -> dict[str, Any]:
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    x, json_x = caller.input("x", grid, "FP32"), caller.input("x", grid, "FP32", binary=False)
    half = caller.input("x", grid.astype(np.float16), "FP16")
    table = [
        caller.input("a", np.array([1, 2]), "INT64"),
        caller.input("b", np.array([0.5, 1.5]), "FP64", binary=False),
        caller.input("name", texts(["x", "ü"]), "BYTES"),
    ]
    columns = await caller.infer("oip_table", *table)
    whole = await caller.infer("oip_scale", x, request_id="mine", model_version="1")
    found = {
        "binary": await caller.value("oip_scale", x),
        "json": await caller.value("oip_scale", json_x, outputs=[caller.output("output", False)]),
        "half": await caller.value("oip_scale", half),
        "gzip": await caller.value("oip_scale", x, request_compression_algorithm="gzip"),
        "deflate": await caller.value("oip_scale", x, request_compression_algorithm="deflate"),
        "about": {key: whole.get_response()[key] for key in ("model_name", "model_version", "id")},
        "add": await caller.value("oip_add", caller.input("a", np.array([4]), "INT64")),
        "words": await caller.value("oip_words", caller.input("text", texts(["é"]), "BYTES")),
        "stats": await caller.value(
            "oip_stats", caller.input("values", np.array([1.0, 3.0]), "FP64"), name="most"
        ),
        "only": (
            await caller.infer(
                "oip_stats",
                caller.input("values", np.array([1.0, 3.0]), "FP64"),
                outputs=[caller.output("sum")],
            )
        ).as_numpy("most"),
        "columns": {name: shown(columns.as_numpy(name)) for name in ("a", "b", "name")},
        "file": await caller.value("oip_file", caller.input("data", texts(["content"]), "BYTES")),
        "rows": await caller.value("oip_batched", x),
        "noop": (await caller.infer("oip_noop")).get_response()["outputs"],
    }
    return found | {
        "errors": {
            "shape": await failure(lambda: caller.infer("oip_add", x)),
            "name": await failure(lambda: caller.infer("oip_scale", half, x)),
            "output": await failure(
                lambda: caller.infer("oip_scale", x, outputs=[caller.output("nosuch")])
            ),
            "stream": await failure(
                lambda: caller.infer("oip_count", caller.input("to", np.array([2]), "INT64"))
            ),
            "author": await failure(
                lambda: caller.infer("oip_fail", caller.input("how", texts(["bug"]), "BYTES"))
            ),
            "told": await failure(
                lambda: caller.infer("oip_fail", caller.input("how", texts(["told"]), "BYTES"))
            ),
            "slow": await failure(
                lambda: caller.infer(
                    "oip_fail", caller.input("how", texts(["slow"]), "BYTES"), timeout=200_000
                )
            ),
            "login": await failure(lambda: caller.infer("oip_scale", x, headers={})),
            "version": await failure(lambda: caller.infer("oip_scale", x, model_version="9")),
        },
    }


async def stale_length(caller: Caller) -> Any:
    """Call with headers that have the length of an earlier head."""
    headers = dict(AUTH)
    grid = np.ones((1, 3), np.float32)
    await done(caller.client.infer("oip_scale", [caller.input("x", grid, "FP32")], headers=headers))
    inputs = [caller.input("x", grid, "FP32", binary=False)]
    result = await done(caller.client.infer("oip_scale", inputs, headers=headers))
    return [headers, shown(result.as_numpy("output"))]


async def repository(client: Any) -> list[Any]:
    await done(client.unload_model("oip_noop", headers=AUTH))
    for _ in range(600):
        index = await done(client.get_model_repository_index(headers=AUTH))
        if next(one for one in index if one["name"] == "oip_noop")["state"] != "READY":
            break
        await asyncio.sleep(0.1)
    states = [next(one for one in index if one["name"] == "oip_noop")["state"]]
    await done(client.load_model("oip_noop", headers=AUTH))
    index = await done(client.get_model_repository_index(headers=AUTH))
    return [*states, next(one for one in index if one["name"] == "oip_noop")["state"]]


async def main() -> None:
    client = sync_client.InferenceServerClient(URL)
    caller = Caller(client, sync_client)
    found = {
        "sync": await walk(caller) | await describe(client),
        "stale": await stale_length(caller),
        "repository": await repository(client),
    }
    client.close()
    async with async_client.InferenceServerClient(URL) as other:
        found["async"] = await walk(Caller(other, async_client)) | await describe(other)
    print(json.dumps(found, default=str))


asyncio.run(main())
