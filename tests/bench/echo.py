"""The ceiling of the stack: a bare grpc.aio server that answers every call with the same bytes."""

import sys

import grpc
import uvloop


async def main(size: int) -> None:
    reply = b"x" * size

    async def echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return reply

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "LookupCustomer": grpc.unary_unary_rpc_method_handler(echo)
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("fujie.v1.CustomerDataService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
