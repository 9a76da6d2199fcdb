import re

import pytest

from modelgates_server.docsite.layout import Layout
from modelgates_server.docsite.model import ORIGIN, Excerpt, Page, Section
from modelgates_server.docsite.rebase import rebased
from tests.docsite.conftest import Elements


def page(path: str, title: str, section: str, markdown: str = "") -> Page:
    return Page(path, title, f"About {path}.", section, f"# {title}\n\n{markdown}", "<p>x</p>", ())


FRONT = page("", "ModelGates", "Start")
GET = page("api/api-reference/a/get", "Get it", "API reference: A", "GET https://m.example/a")
POST = page("api/api-reference/a/post", "Post it", "API reference: A", "POST https://m.example/a")
ONLY = page("api/api-reference/b/one", "Only one", "API reference: B")
OLD = [page(f"decisions/{n}", f"Decision {n}", "Decisions") for n in (1, 2)]
NAVIGATION = (
    Section("Start", (FRONT,)),
    Section("API reference: A", (GET, POST)),
    Section("API reference: B", (ONLY,)),
    Section("Decisions", tuple(OLD)),
)
ASSETS = {name: f"/{name}" for name in ("docs.css", "docs.js", "icon.svg", "theme.js")}
ASSETS |= {name: f"/{name}" for name in ("reference.css", "tryit.js")}
LAYOUT = Layout(NAVIGATION, ASSETS, searchable=True)


def sections(html: str) -> dict[str, bool]:
    """The sections of the navigation, and whether each is open."""
    found = re.findall(r"<details( open)?>\n<summary>(.*?)</summary>", html)
    return {title: bool(is_open) for is_open, title in found}


def test_what_was_found_is_marked_and_never_becomes_html() -> None:
    found = Excerpt("x", "<b>T</b>", "<i>", "a", "a <script> \x02&found\x03 b")
    html = LAYOUT.results('"><script>', [found])
    assert "<p>a &lt;script&gt; <mark>&amp;found</mark> b</p>" in html
    assert ">&lt;b&gt;T&lt;/b&gt; " in html
    assert " &lt;i&gt;</a>" in html
    assert 'value="&#34;&gt;&lt;script&gt;"' in html
    assert f'href="{ORIGIN}/docs/x#a"' in html


def test_a_search_that_finds_nothing_says_so() -> None:
    assert "Nothing was found" in LAYOUT.results("x", [])
    assert "Nothing was found" not in LAYOUT.results("", [])


def test_an_address_that_was_searched_stays_as_it_was_typed() -> None:
    html = rebased(LAYOUT.results(ORIGIN, []).encode(), "http://a", is_html=True).decode()
    assert Elements(html).values("value") == [ORIGIN]
    assert f"<h1>Results for “{ORIGIN}”</h1>" in html.replace("&#58;", ":")


@pytest.mark.parametrize(
    ("shown", "opened"),
    [
        (FRONT, {"Start", "B"}),
        (GET, {"Start", "A", "B"}),
        (OLD[1], {"Start", "B", "Decisions"}),
    ],
)
def test_long_sections_are_open_on_their_own_pages_only(shown: Page, opened: set[str]) -> None:
    found = sections(LAYOUT.page(shown))
    assert list(found) == ["Start", "A", "B", "Decisions"]
    assert {title for title, is_open in found.items() if is_open} == opened


def test_sections_of_one_kind_stand_under_one_title() -> None:
    assert re.findall(r"<h2>(.*?)</h2>", LAYOUT.page(FRONT)) == ["API reference"]


def test_operations_are_told_apart_by_their_verb() -> None:
    html = LAYOUT.page(FRONT)
    assert 'Get it <span class="verb get">GET</span>' in html
    assert 'Post it <span class="verb post">POST</span>' in html
    assert "Only one</a>" in html


def test_only_operations_load_what_tries_them() -> None:
    assert "tryit.js" in LAYOUT.page(GET)
    assert "tryit.js" not in LAYOUT.page(FRONT)


def test_where_nobody_searches_there_is_no_box() -> None:
    boxless = Layout(NAVIGATION, ASSETS, searchable=False)
    for html in (boxless.page(GET), boxless.missing()):
        assert "<form" not in html
        assert "search" not in html.lower().replace("docs/search", "")
