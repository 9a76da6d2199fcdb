"""What follows the end of a stream: some servers report its usage there."""

import asyncio
from collections.abc import AsyncIterator

from modelgates_server.core.errors import GatewayError
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from modelgates_server.dialects.sse import SseReader, SseTooLong

TAIL_MAX_S = 0.5
"""Where the connection stays open and no usage comes, each stream takes so much longer."""


def misses_usage(observed: ChatResponseMeter) -> bool:
    """Whether a stream that said its end has not reported yet what it wrote."""
    reading = observed.reading()
    if reading.says_zero_output and not observed.has_output:
        return False
    is_old = observed.output.text_bytes > observed.text_bytes_at_usage
    return not reading.trusted_output or is_old


async def read_tail(
    chunks: AsyncIterator[bytes], reader: SseReader, observed: ChatResponseMeter
) -> None:
    """Read on until the usage comes, for a moment; whatever happens, the answer is whole."""
    try:
        async with asyncio.timeout(TAIL_MAX_S):
            async for data in chunks:
                for payload in reader.feed(data):
                    observed.observe_usage(payload)
                if not misses_usage(observed):
                    return
            for payload in reader.close():
                observed.observe_usage(payload)
    except (GatewayError, SseTooLong, TimeoutError, asyncio.CancelledError):
        return
