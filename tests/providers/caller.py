"""Calls `https://HOST:PORT` in a separate process and prints the response or the error."""

import asyncio
import sys

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.pricing.catalog import Api
from tests.providers.upstream import asking


async def call(url: str) -> str:
    async with asking(0, base_url=url) as acme:
        try:
            return (await (await acme.send(Api.CHAT, b"{}")).read(1000)).decode()
        except GatewayError as error:
            return f"{type(error).__name__}: {error}; {error.__cause__}"


if __name__ == "__main__":
    print(asyncio.run(call(sys.argv[1])))
