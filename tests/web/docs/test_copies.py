import asyncio
import gzip

import pytest

from modelgates_server.web.docs import copies
from modelgates_server.web.docs.copies import Copies, rebased
from modelgates_server.web.docs.pages import HTML, ORIGIN, Document

PAGE = Document(HTML, f'<a href="{ORIGIN}/docs/x">{ORIGIN}/docs</a>'.encode() * 10)


def test_links_keep_to_the_name_that_the_page_was_opened_with() -> None:
    html = f'<a href="{ORIGIN}/docs">x</a> <link href=\'{ORIGIN}/docs\'> <i data-a="{ORIGIN}">'
    shown = rebased(html.encode(), "https://a.example/llm", is_html=True).decode()
    assert shown == (
        '<a href="/llm/docs">x</a> <link href=\'https://a.example/llm/docs\'> <i data-a="/llm">'
    )


def test_another_host_that_begins_alike_is_not_ours() -> None:
    html = f'<a href="{ORIGIN}.evil.example/">'.encode()
    assert b'href="https://a.example.evil' in rebased(html, "https://a.example", is_html=True)


def test_text_has_the_whole_address() -> None:
    assert rebased(f'="{ORIGIN}/x'.encode(), "http://a", is_html=False) == b'="http://a/x'


async def test_a_copy_is_made_once_for_each_address_and_form() -> None:
    kept = Copies()
    plain = await kept.get("docs/x", PAGE, "http://a", gzipped=False)
    packed = await kept.get("docs/x", PAGE, "http://a", gzipped=True)
    assert gzip.decompress(packed.body) == plain.body
    assert await kept.get("docs/x", PAGE, "http://a", gzipped=False) is plain
    other = await kept.get("docs/x", PAGE, "http://b/y", gzipped=False)
    assert len({plain.etag, packed.etag, other.etag}) == 3
    assert b"http://b/y/docs" in other.body


async def test_readers_who_come_at_once_get_the_same_copy() -> None:
    kept = Copies()
    asked = (kept.get("docs/x", PAGE, "http://a", gzipped=True) for _ in range(5))
    first, *others = await asyncio.gather(*asked)
    assert all(other is first for other in others)
    assert kept._bytes == len(first.body)


async def test_made_up_addresses_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(rebased(PAGE.body, "http://host-0", is_html=True))
    monkeypatch.setattr(copies, "KEPT_BYTES", 3 * size)
    kept = Copies()
    wanted = await kept.get("docs/x", PAGE, "http://host-0", gzipped=False)
    for number in range(9):
        await kept.get("docs/x", PAGE, f"http://host-{number}", gzipped=False)
        assert await kept.get("docs/x", PAGE, "http://host-0", gzipped=False) is wanted
    assert kept._bytes == sum(len(copy.body) for copy in kept._kept.values()) == 3 * size
    assert {base for _, base, _ in kept._kept} >= {"http://host-0", "http://host-8"}
