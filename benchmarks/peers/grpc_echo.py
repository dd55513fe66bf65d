"""A server of `grpc.aio` that answers every inference request at once: what gRPC itself costs."""

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio

from easymlnb_server.protocols.oip.rpc.messages import SERVICE, message


async def answer(request: Any, context: Any) -> Any:
    return message("ModelInferResponse")(model_name=request.model_name)


async def main(port: str) -> None:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=message("ModelInferRequest").FromString,
        response_serializer=message("ModelInferResponse").SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(SERVICE, {"ModelInfer": handler})
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main(sys.argv[1]))
