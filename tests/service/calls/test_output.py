"""One source and several readers: order, pace, ends and memory."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from modelgates_server.core.errors import ProviderUnavailable, Stopping
from modelgates_server.service.calls.output import CallOutput, OutputReader
from modelgates_server.service.calls.output_memory import Lease, OutputMemory
from tests.deadlines import within
from tests.gateway import until

PIECES = [b"%d," % number for number in range(20)]


class Source:
    """A source that counts the pieces read from it; each waits for a permit."""

    def __init__(self, pieces: list[bytes] = PIECES, *, permits: int = 10**6) -> None:
        self.taken = 0
        self.permits = asyncio.Semaphore(permits)
        self.error: Exception | None = None
        self._pieces = pieces

    async def __call__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await self.permits.acquire()
            self.taken += 1
            yield piece
        if self.error is not None:
            raise self.error


def stays() -> bool:
    """A client that does not leave."""
    return False


def opened(source: Source, lease: Lease | None) -> CallOutput:
    output = CallOutput(source(), lease)
    output.open()
    return output


def large() -> Lease:
    return OutputMemory().lease("acme")


def small() -> Lease:
    """Has room for one piece."""
    return OutputMemory().lease("acme", 60)


async def read_all(reader: OutputReader) -> list[bytes]:
    return [piece async for piece in reader.pieces()]


async def take(pieces: AsyncIterator[bytes], count: int) -> list[bytes]:
    return [await anext(pieces) for _ in range(count)]


async def test_reader_gets_everything_in_order_and_nothing_is_read_ahead() -> None:
    source = Source()
    pieces = opened(source, large()).reader(stays).pieces()
    assert await take(pieces, 3) == PIECES[:3]
    assert source.taken == 3
    assert [piece async for piece in pieces] == PIECES[3:]


async def test_late_reader_gets_the_beginning_and_then_the_rest() -> None:
    source = Source(permits=5)
    output = opened(source, large())
    first = asyncio.create_task(read_all(output.reader(stays)))
    await until(lambda: source.taken == 5)
    second = asyncio.create_task(read_all(output.reader(stays)))
    await asyncio.sleep(0)
    for _ in PIECES:
        source.permits.release()
    async with within():
        assert await first == await second == PIECES
    assert source.taken == len(PIECES)


async def test_reader_that_stops_reading_delays_nobody() -> None:
    source = Source()
    output = opened(source, large())
    await take(output.reader(stays).pieces(), 2)
    async with within():
        assert await read_all(output.reader(stays)) == PIECES


async def test_fast_reader_waits_for_the_slow_one_when_the_output_is_not_kept() -> None:
    source = Source()
    output = opened(source, small())
    slow, fast = output.reader(stays), output.reader(stays)
    slow_pieces = slow.pieces()
    await take(slow_pieces, 1)
    task = asyncio.create_task(read_all(fast))
    for _ in range(50):
        await asyncio.sleep(0)
    assert source.taken == 2
    assert not output.is_kept
    rest = [piece async for piece in slow_pieces]
    async with within():
        assert await task == PIECES
    assert rest == PIECES[1:]


async def test_fast_reader_goes_on_when_the_slow_one_leaves() -> None:
    source = Source()
    output = opened(source, small())
    slow, fast = output.reader(stays), output.reader(stays)
    await take(slow.pieces(), 1)
    task = asyncio.create_task(read_all(fast))
    await asyncio.sleep(0)
    slow.close()
    async with within():
        assert await task == PIECES


@pytest.mark.parametrize("lease", [None, "small"])
async def test_output_that_is_not_kept_holds_no_pieces_and_no_memory(lease: str | None) -> None:
    memory = OutputMemory()
    output = opened(Source(), None if lease is None else memory.lease("acme", 60))
    assert await read_all(output.reader(stays)) == PIECES
    assert output._pieces == []
    assert memory.free_bytes == OutputMemory().free_bytes


async def test_forgotten_output_is_released_after_its_last_reader() -> None:
    memory = OutputMemory()
    output = opened(Source(), memory.lease("acme"))
    first, second = output.reader(stays), output.reader(stays)
    assert await read_all(first) == PIECES
    first.close()
    output.forget()
    assert memory.free_bytes < OutputMemory().free_bytes
    assert await read_all(second) == PIECES
    assert memory.free_bytes == OutputMemory().free_bytes


async def test_every_reader_raises_the_error_of_the_source_after_all_pieces() -> None:
    source = Source()
    source.error = ProviderUnavailable("gone", provider="acme")
    output = opened(source, large())
    for reader in (output.reader(stays), output.reader(stays)):
        pieces = reader.pieces()
        assert await take(pieces, len(PIECES)) == PIECES
        with pytest.raises(ProviderUnavailable):
            await anext(pieces)


async def test_other_readers_end_when_the_reading_one_is_cancelled() -> None:
    output = opened(Source(permits=1), large())
    readers = [asyncio.create_task(read_all(output.reader(stays))) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    readers[0].cancel()
    async with within():
        results = await asyncio.gather(*readers, return_exceptions=True)
    assert {type(result) for result in results[1:]} == {Stopping}


async def test_readers_wait_until_the_output_is_open() -> None:
    source = Source()
    output = CallOutput(source(), large())
    reader = output.reader(stays)
    task = asyncio.create_task(read_all(reader))
    await asyncio.sleep(0)
    assert source.taken == 0
    output.open()
    async with within():
        await reader.opened()
        assert await task == PIECES


async def test_readers_raise_the_error_of_an_output_that_never_opens() -> None:
    output = CallOutput(Source()(), large())
    waiting = asyncio.create_task(output.reader(stays).opened())
    await asyncio.sleep(0)
    output.end(ProviderUnavailable("refused", provider="acme"))
    async with within():
        with pytest.raises(ProviderUnavailable):
            await waiting


@pytest.mark.parametrize("seed", range(30))
async def test_readers_with_any_pace_get_the_same(seed: int) -> None:
    dice = random.Random(seed)
    memory = OutputMemory()
    output = opened(Source(), memory.lease("acme", dice.choice([60, 400, 10**6])))

    async def read(reader: OutputReader, stop_at: int | None) -> list[bytes]:
        got = []
        async for piece in reader.pieces():
            got.append(piece)
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            if len(got) == stop_at:
                break
        reader.close()
        return got

    stops = [None, None, *(dice.randrange(1, 30) for _ in range(3))]
    readers = [(output.reader(stays), stop_at) for stop_at in stops]
    async with within():
        results = await asyncio.gather(*(read(*each) for each in readers))
    for stop_at, got in zip(stops, results, strict=True):
        assert got == PIECES[:stop_at]
    output.forget()
    assert memory.free_bytes == OutputMemory().free_bytes


async def test_reader_is_served_if_its_client_is_there_when_it_has_everything() -> None:
    output = opened(Source(), large())
    readers = [output.reader(lambda: False), output.reader(lambda: True), output.reader(stays)]
    for reader in readers[:2]:
        await read_all(reader)
    await take(readers[2].pieces(), len(PIECES))
    assert [reader.is_served for reader in readers] == [True, False, False]
