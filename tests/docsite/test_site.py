"""The whole site: every link works, no page is missing, and nothing comes from other hosts."""

import gzip
import re
from itertools import pairwise
from urllib.parse import urlsplit

import pytest

from modelgates_server.docsite.model import ASSETS, ORIGIN
from modelgates_server.docsite.site import Site
from tests.docsite.conftest import Elements, linked

WEIGHT_MAX_BYTES = 60_000
# Served by separate operations, not as documents.
DYNAMIC = {"docs/search", "docs/_search", "docs/_mcp/server", "healthz", "openapi.json"}
DYNAMIC |= {"openapi.yaml"}
API = "api/v1"


def elements(site: Site) -> dict[str, Elements]:
    return {
        name: Elements(document.body.decode())
        for name, document in site.documents.items()
        if document.is_page
    }


def broken(site: Site, ids: dict[str, list[str]], url: str, here: str) -> bool:
    """Whether a link in the document `here` has no target."""
    if url.startswith("#"):
        return url[1:] not in ids.get(here, [])
    if not url.startswith(ORIGIN):
        return not url.startswith(("https://", "http://", "mailto:"))
    parts = urlsplit(url)
    name = parts.path.strip("/")
    if name in DYNAMIC or name.startswith(API):
        return False
    anchors = ids.get(name.removesuffix(".md"), [])
    return name not in site.documents or bool(parts.fragment and parts.fragment not in anchors)


def test_every_link_and_anchor_on_a_page_leads_somewhere(
    site: Site, subtests: pytest.Subtests
) -> None:
    pages = elements(site)
    ids = {name: page.values("id") for name, page in pages.items()}
    for name, page in pages.items():
        with subtests.test(name):
            links = [url for each in ("href", "src", "action") for url in page.values(each)]
            assert [url for url in links if broken(site, ids, url, name)] == []


def test_every_link_in_markdown_leads_somewhere(site: Site, subtests: pytest.Subtests) -> None:
    ids = {name: page.values("id") for name, page in elements(site).items()}
    for name, document in site.documents.items():
        if not name.endswith((".md", ".txt")):
            continue
        with subtests.test(name):
            links = linked(document.body.decode())
            here = name.removesuffix(".md")
            checked = links if name.endswith(".md") else [u for u in links if u[0] != "#"]
            assert [url for url in checked if broken(site, ids, url, here)] == []


def test_every_page_is_in_the_navigation_and_in_the_indexes(site: Site) -> None:
    front = elements(site)["docs"].values("href")
    index = site.documents["llms.txt"].body.decode()
    full = site.documents["llms-full.txt"].body.decode()
    places = site.documents["docs/sitemap.xml"].body.decode()
    for path, page in site.pages.items():
        url = f"{ORIGIN}/docs/{path}".rstrip("/")
        assert url in front
        assert f"- [{page.title}]({url}.md): {page.description}\n" in index
        assert f"\nSource: {url}\n" in full
        assert f"<loc>{url}</loc>" in places


def test_page_links_to_its_neighbours(site: Site) -> None:
    pages = elements(site)
    row = [page.path for section in site.navigation for page in section.pages]
    assert row[0] == ""
    titles = [section.title for section in site.navigation]
    assert titles[-1] == "Decisions"
    assert len(titles) == len(set(titles)), "the pages of a section are next to each other"
    assert len(row) == len(set(row)) == len(site.pages)
    for before, after in pairwise(row):
        names = [f"docs/{path}".rstrip("/") for path in (before, after)]
        for name, rel, other in ((names[0], "next", names[1]), (names[1], "prev", names[0])):
            [link] = [a for _, a in pages[name].found if a.get("rel") == rel]
            assert link["href"] == f"{ORIGIN}/{other}"


def test_page_has_unique_ids_and_marks_its_navigation_entry(
    site: Site, subtests: pytest.Subtests
) -> None:
    for name, page in elements(site).items():
        with subtests.test(name):
            ids = page.values("id")
            assert len(ids) == len(set(ids))
            [here] = [a["href"] for _, a in page.found if a.get("aria-current") == "page"]
            assert here == f"{ORIGIN}/{name}"
            assert [tag for tag, _ in page.found].count("h1") == 1


def test_every_column_of_a_table_has_a_title(site: Site, subtests: pytest.Subtests) -> None:
    for name, document in site.documents.items():
        if document.is_page:
            with subtests.test(name):
                assert not re.search(rb"<th\b[^>]*>\s*</th>", document.body)


def test_page_loads_nothing_from_other_hosts_and_has_no_inline_code(
    site: Site, subtests: pytest.Subtests
) -> None:
    for name, page in elements(site).items():
        with subtests.test(name):
            for tag, attributes in page.found:
                assert tag not in {"style", "iframe", "object", "embed", "base"}
                assert "style" not in attributes
                assert not [each for each in attributes if each.startswith("on")]
                loaded = attributes.get("src", "") if tag != "link" else attributes["href"]
                if tag == "script":
                    assert loaded
                if loaded:
                    assert loaded.startswith(f"{ORIGIN}/")
    for name, document in site.documents.items():
        if name.startswith(ASSETS):
            text = document.body.decode().replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"@import|url\(|https?://", text), name


def test_page_stays_small_with_everything_that_it_loads(
    site: Site, subtests: pytest.Subtests
) -> None:
    packed = {name: len(gzip.compress(document.body)) for name, document in site.documents.items()}
    for name, page in elements(site).items():
        with subtests.test(name):
            loaded = {
                url.removeprefix(f"{ORIGIN}/")
                for url in [*page.values("href"), *page.values("src")]
                if f"/{ASSETS}" in url
            }
            assert len(loaded) >= 3
            assert packed[name] + sum(packed[each] for each in loaded) < WEIGHT_MAX_BYTES


def test_page_is_complete_without_scripts(site: Site, subtests: pytest.Subtests) -> None:
    for path, page in site.pages.items():
        name = f"docs/{path}".rstrip("/")
        with subtests.test(name):
            html = site.documents[name].body.decode()
            assert page.html in html
            assert 'href="#content"' in html
            assert f'action="{ORIGIN}/docs/search"' in html
            # The form that tries an operation needs a script, and says so.
            kept = re.sub(r'<form class="tryit".*?</form>', "", page.html, flags=re.DOTALL)
            assert "hidden" not in [key for _, a in Elements(kept).found for key in a]


def test_asset_name_changes_with_its_content(site: Site) -> None:
    [css] = [name for name in site.documents if name.startswith(f"{ASSETS}docs.") and "css" in name]
    assert re.fullmatch(rf"{ASSETS}docs\.[0-9a-f]{{12}}\.css", css)
