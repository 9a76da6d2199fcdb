import asyncio
import gzip

import pytest

from modelgates_server.docsite.model import ASSETS, HTML, ORIGIN, Document
from modelgates_server.docsite.rebase import rebased
from modelgates_server.web.pages import response_cache as copies
from modelgates_server.web.pages.response_cache import ENTRY_BYTES, ResponseCache

PAGE = Document(HTML, f'<a href="{ORIGIN}/docs/x">{ORIGIN}/docs</a>'.encode() * 10)


def test_links_have_no_host() -> None:
    html = f'<a href="{ORIGIN}/docs">x</a> <link href=\'{ORIGIN}/docs\'> <i data-a="{ORIGIN}">'
    shown = rebased(html.encode(), "https://a.example/llm", is_html=True).decode()
    assert shown == (
        '<a href="/llm/docs">x</a> <link href=\'https://a.example/llm/docs\'> <i data-a="/llm">'
    )


def test_host_with_the_same_beginning_is_not_replaced() -> None:
    html = f'<a href="{ORIGIN}.evil.example/">'.encode()
    assert b'href="https://a.example.evil' in rebased(html, "https://a.example", is_html=True)


def test_text_has_the_whole_address() -> None:
    assert rebased(f'="{ORIGIN}/x'.encode(), "http://a", is_html=False) == b'="http://a/x'


async def test_response_is_made_once_for_each_address_and_encoding() -> None:
    kept = ResponseCache()
    plain = await kept.get("docs/x", PAGE, "http://a", gzipped=False)
    packed = await kept.get("docs/x", PAGE, "http://a", gzipped=True)
    assert gzip.decompress(packed.body) == plain.body
    assert await kept.get("docs/x", PAGE, "http://a", gzipped=False) is plain
    other = await kept.get("docs/x", PAGE, "http://b/y", gzipped=False)
    assert len({plain.etag, packed.etag, other.etag}) == 3
    assert b"http://b/y/docs" in other.body


async def test_simultaneous_readers_get_the_same_response() -> None:
    kept = ResponseCache()
    asked = (kept.get("docs/x", PAGE, "http://a", gzipped=True) for _ in range(5))
    first, *others = await asyncio.gather(*asked)
    assert all(other is first for other in others)
    assert kept._bytes == len(first.body) + ENTRY_BYTES


async def test_response_is_made_although_a_reader_disconnects() -> None:
    kept = ResponseCache()
    first, *others = [
        asyncio.ensure_future(kept.get("docs/x", PAGE, "http://a", gzipped=True)) for _ in range(3)
    ]
    await asyncio.sleep(0)
    first.cancel()
    one, other = await asyncio.gather(*others)
    assert one is other


async def test_response_is_made_again_after_a_failure() -> None:
    kept = ResponseCache()
    for _ in range(2):
        with pytest.raises(UnicodeEncodeError):
            await kept.get("docs/x", PAGE, "http://\udcff", gzipped=True)
    assert (kept._bytes, kept._making) == (0, {})


async def test_document_without_an_address_is_cached_once() -> None:
    kept, sheet = ResponseCache(), Document("text/css", b"a {}" * 200)
    one, other = [
        await kept.get(f"{ASSETS}x.css", sheet, base, gzipped=True)
        for base in ("http://a", "http://b")
    ]
    assert one is other


async def test_largest_documents_are_compressed_fast() -> None:
    # RFC 1952, 2.3.1: the byte XFL is 4 for the fastest algorithm.
    for size, fast in ((1000, False), (500_000, True)):
        copy = await ResponseCache().get("x", Document("text/plain", bytes(size)), "", gzipped=True)
        assert (copy.body[8] == 4) == fast


async def test_invented_addresses_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(rebased(PAGE.body, "http://host-0", is_html=True)) + ENTRY_BYTES
    monkeypatch.setattr(copies, "CACHE_MAX_BYTES", 3 * size)
    kept = ResponseCache()
    wanted = await kept.get("docs/x", PAGE, "http://host-0", gzipped=False)
    for number in range(9):
        await kept.get("docs/x", PAGE, f"http://host-{number}", gzipped=False)
        assert await kept.get("docs/x", PAGE, "http://host-0", gzipped=False) is wanted
    assert kept._bytes == 3 * size
    assert {base for _, base, _ in kept._responses} >= {"http://host-0", "http://host-8"}


async def test_many_small_responses_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "CACHE_MAX_BYTES", 5 * ENTRY_BYTES)
    kept = ResponseCache()
    for number in range(9):
        await kept.get("x", Document("text/plain", b""), f"http://{number}", gzipped=False)
    assert len(kept._responses) == 5
