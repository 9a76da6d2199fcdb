import re

import pytest

from modelgates_server import __version__
from modelgates_server.docsite import layout as layout_module
from modelgates_server.docsite.layout import Layout
from modelgates_server.docsite.model import ORIGIN, Excerpt, Page, Section
from modelgates_server.docsite.rebase import rebased
from modelgates_server.docsite.result_groups import STEP
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


def test_matches_are_marked_and_never_become_html() -> None:
    found = Excerpt("x", "<b>T</b>", "<i>", "a", "a <script> \x02&found\x03 b")
    html = LAYOUT.results('"><script>', [found])
    assert "<p>a &lt;script&gt; <mark>&amp;found</mark> b</p>" in html
    assert ">&lt;b&gt;T&lt;/b&gt; " in html
    assert " &lt;i&gt;</a>" in html
    assert 'value="&#34;&gt;&lt;script&gt;"' in html
    assert f'href="{ORIGIN}/docs/x#a"' in html


def test_results_are_in_groups_with_breadcrumbs() -> None:
    excerpts = [
        Excerpt("d", "Old", "", "", "x", "Decisions"),
        Excerpt("k", "Get it", "Errors", "errors", "x", "API reference: Keys"),
        Excerpt("g", "Guide", "", "", "x", "Build"),
    ]
    html = LAYOUT.results("x", excerpts)
    main = html.partition("<main")[2]
    assert re.findall(r"<h2>(.*?)</h2>", main) == [
        "API reference",
        "Guides",
        "Concepts &amp; decisions",
    ]
    assert re.findall(r'class="trail">(.*?)<', main) == [
        f"API reference{STEP}Keys",
        "Build",
        "Decisions",
    ]


def test_empty_result_offers_searches_and_pages() -> None:
    start = page("guides/overview/quickstart", "Quick start", "Start")
    layout = Layout((Section("Start", (FRONT, start)),), ASSETS, searchable=True)
    for html in (layout.results("zzz", []), layout.results("", []), layout.missing()):
        main = html.partition("<main")[2]
        assert f'href="{ORIGIN}/docs/{start.path}"' in main
        assert "About guides/overview/quickstart." in main
    assert f'href="{ORIGIN}/docs/search?q=top%20up"' in layout.results("zzz", [])
    found = layout.results("x", [Excerpt("g", "Guide", "", "", "x", "Build")])
    assert "Good places to start" not in found


def test_header_has_version_and_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    html = LAYOUT.page(GET)
    header = html.partition('<header class="top">')[2].partition("</header>")[0]
    assert f">v{__version__}<" in header
    assert f'<a href="{ORIGIN}/docs/api/api-reference/overview">API reference</a>' in header
    assert "Repository" not in header, "the package names none"
    monkeypatch.setattr(layout_module, "repository_url", lambda: "https://code.example/x")
    named = Layout(NAVIGATION, ASSETS, searchable=True).page(GET)
    assert '<a href="https://code.example/x">Repository</a>' in named


def test_theme_is_set_before_anything_is_painted() -> None:
    html = LAYOUT.page(FRONT)
    head = html.partition("</head>")[0]
    [script] = re.findall(r"<script[^>]*theme\.js[^>]*>", head)
    assert "defer" not in script
    assert "async" not in script


def test_empty_result_says_that_nothing_was_found() -> None:
    assert "Nothing was found" in LAYOUT.results("x", [])
    assert "Nothing was found" not in LAYOUT.results("", [])


def test_address_in_a_query_stays_as_the_reader_typed_it() -> None:
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


def test_sections_with_a_common_prefix_share_a_title() -> None:
    assert re.findall(r"<h2>(.*?)</h2>", LAYOUT.page(FRONT)) == ["API reference"]


def test_operations_are_listed_with_their_verb() -> None:
    html = LAYOUT.page(FRONT)
    assert 'Get it <span class="verb get">GET</span>' in html
    assert 'Post it <span class="verb post">POST</span>' in html
    assert "Only one</a>" in html


def test_only_operation_pages_load_the_try_it_script() -> None:
    assert "tryit.js" in LAYOUT.page(GET)
    assert "tryit.js" not in LAYOUT.page(FRONT)


def test_unsearchable_site_has_no_search_box() -> None:
    boxless = Layout(NAVIGATION, ASSETS, searchable=False)
    for html in (boxless.page(GET), boxless.missing()):
        assert "<form" not in html
        assert "search" not in html.lower().replace("docs/search", "")
