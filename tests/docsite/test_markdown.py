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
def test_an_anchor_is_the_one_that_github_makes(title: str, anchor: str) -> None:
    assert anchors(f"## {title}") == [anchor]


def test_two_headings_alike_have_anchors_of_their_own() -> None:
    assert anchors("## Errors\n\n### Errors\n\n## Errors") == ["errors", "errors-1", "errors-2"]


def test_the_headings_told_are_the_headings_written() -> None:
    rendered = render("# One\n\n## Two `x`\n\n### Three\n\n#### Four\n\n##### Five")
    told = [(heading.level, heading.text, heading.anchor) for heading in rendered.headings]
    assert told == [(2, "Two x", "two-x"), (3, "Three", "three"), (4, "Four", "four")]
    assert re.findall(r'<h(\d) id="([^"]+)">', rendered.html) == [
        ("2", "two-x"),
        ("3", "three"),
        ("4", "four"),
    ]


def test_a_heading_leads_to_itself_but_never_holds_a_link_in_a_link() -> None:
    assert '<h2 id="a"><a href="#a">A</a></h2>' in render("## A").html
    html = render("## See [b](https://b.example)").html
    assert html.count("<a ") == 1


def test_what_is_wider_than_the_page_is_reached_with_the_keyboard() -> None:
    html = render("| a |\n|---|\n| b |\n\n```\nc\n```").html
    assert '<div class="table" tabindex="0"><table>' in html
    assert '<pre class="highlight plain" tabindex="0">' in html


@pytest.mark.parametrize("language", ["python", "json", "console", "no-such-language", ""])
def test_code_comes_out_as_it_went_in_and_without_a_style(language: str) -> None:
    code = "\n$ x = \"<&>\"  # '1'\n\n\tend\n"
    html = highlight(code, language)
    assert "style=" not in html
    shown = re.sub(r"<[^>]+>", "", html).replace("&#39;", "'").replace("&quot;", '"')
    shown = shown.replace("&#x27;", "'").replace("&lt;", "<").replace("&gt;", ">")
    assert shown.replace("&amp;", "&") == code + "\n"


def test_a_title_is_told_in_words() -> None:
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
