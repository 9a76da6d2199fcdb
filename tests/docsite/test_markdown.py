import re

import pytest

from modelgates_server.docsite.markdown import highlight, plain, render


def anchors(text: str) -> list[str]:
    return [heading.anchor for heading in render(text).headings]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "[x](javascript:alert(1))",
        "[x](<javascript:alert(1)>)",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        '[x](https://a.example "\\"><script>")',
        "```html\n<script>alert(1)</script>\n```",
        "```\n<script>alert(1)</script>\n```",
        "```no-such-language\n<script>alert(1)</script>\n```",
        '```"><script>\nx\n```',
        "    <script>alert(1)</script>",
    ],
)
def test_nothing_in_a_text_becomes_a_script(text: str) -> None:
    html = render(text).html
    assert "<script" not in html
    assert "<img" not in html
    assert not re.search(r'href="(javascript|data):', html, re.IGNORECASE)


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("Credits, usage and holds", "credits-usage-and-holds"),
        ("`GET /credits`", "get-credits"),
        ("What is *held*?", "what-is-held"),
        ("snake_case - and  more", "snake_case---and--more"),
        ("Größe № 1", "größe--1"),
    ],
)
def test_anchors_are_the_same_as_on_github(title: str, anchor: str) -> None:
    assert anchors(f"## {title}") == [anchor]


def test_equal_headings_have_different_anchors() -> None:
    assert anchors("## Errors\n\n### Errors\n\n## Errors") == ["errors", "errors-1", "errors-2"]


def test_returned_headings_match_the_html() -> None:
    rendered = render("# One\n\n## Two `x`\n\n### Three\n\n#### Four\n\n##### Five")
    told = [(heading.level, heading.text, heading.anchor) for heading in rendered.headings]
    assert told == [(2, "Two x", "two-x"), (3, "Three", "three"), (4, "Four", "four")]
    assert re.findall(r'<h(\d) id="([^"]+)">', rendered.html) == [
        ("2", "two-x"),
        ("3", "three"),
        ("4", "four"),
    ]


def test_heading_links_to_itself_unless_it_contains_a_link() -> None:
    assert '<h2 id="a"><a href="#a">A</a></h2>' in render("## A").html
    html = render("## See [b](https://b.example)").html
    assert html.count("<a ") == 1


def test_scrolling_blocks_can_be_focused() -> None:
    html = render("| a |\n|---|\n| b |\n\n```\nc\n```").html
    assert '<div class="table" tabindex="0"><table>' in html
    assert '<pre class="highlight plain" tabindex="0">' in html


@pytest.mark.parametrize("language", ["python", "json", "console", "no-such-language", ""])
def test_highlighted_code_keeps_its_text_and_has_no_styles(language: str) -> None:
    code = "\n$ x = \"<&>\"  # '1'\n\n\tend\n"
    html = highlight(code, language)
    assert "style=" not in html
    shown = re.sub(r"<[^>]+>", "", html).replace("&#39;", "'").replace("&quot;", '"')
    shown = shown.replace("&#x27;", "'").replace("&lt;", "<").replace("&gt;", ">")
    assert shown.replace("&amp;", "&") == code + "\n"


def test_title_becomes_plain_text() -> None:
    assert plain("The *`x`* of [y](z)\nand more") == "The x of y and more"


def test_cell_has_the_name_of_its_column() -> None:
    html = render("| a `b` | c |\n|---|---|\n| 1 | |\n| 3 | 4 |\n\n| d |\n|---|\n| 5 |").html
    assert re.findall(r'<td data-label="(.*?)">(.*?)</td>', html) == [
        ("a b", "1"),
        ("c", ""),
        ("a b", "3"),
        ("c", "4"),
        ("d", "5"),
    ]


@pytest.mark.parametrize(
    ("language", "code", "is_aligned"),
    [
        ("text", "id    name\n1     Acme\n", True),
        ("console", "$ modelgates key list\nid  kind\n", True),
        ("console", '$ modelgates key list --json\n{"id":"x"}\n', False),
        ("text", "One line of words.\n", False),
        ("sh", "curl  x  y\n", False),
        ("json", "{}\n", False),
    ],
)
def test_output_with_columns_keeps_its_lines(language: str, code: str, is_aligned: bool) -> None:
    assert ('<code class="aligned">' in highlight(code, language)) == is_aligned
