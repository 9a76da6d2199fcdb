"""The baseline: a bare ASGI application on the same server that returns given bytes."""

import json
import sys
from typing import Any

import uvicorn


def application(headers: list[tuple[bytes, bytes]], body: bytes) -> Any:
    """Respond to every request with the same headers and body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    app = application(
        [(k.encode(), v.encode()) for k, v in given["headers"]], given["body"].encode()
    )
    config = uvicorn.Config(
        app,
        port=0,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    _Server(config).run()
