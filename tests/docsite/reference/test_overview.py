"""The first page of the reference: it lists every operation, every kind of key and every error."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from modelgates_server.core.keys import KeyKind
from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.reference import pages as reference
from tests.web.document import operations_of, referenced

DOCUMENT = document_at(ORIGIN)
OVERVIEW, *PAGES = reference.pages(DOCUMENT)


def test_every_operation_is_listed_with_its_keys() -> None:
    lines = OVERVIEW.markdown.partition("\n## Errors\n")[0].splitlines()
    described = {operation["operationId"]: operation for *_, operation in operations_of(DOCUMENT)}
    for page in PAGES:
        kinds = described[page.path.rpartition("/")[2]]["x-key-kinds"]
        [line] = [line for line in lines if f"[{page.title}]({ORIGIN}/docs/{page.path})" in line]
        keys = line.split("|")[3].strip()
        assert keys in {
            frozenset(KeyKind): {"any"},
            frozenset(): {"none needed", "no API key, but the metrics token"},
        }.get(frozenset(kinds), {", ".join(kinds)})
        assert (keys == "no API key, but the metrics token") == page.path.endswith("/get-metrics")


def test_every_kind_of_key_is_described() -> None:
    assert set(DOCUMENT["x-key-kinds"]) == set(KeyKind)
    for kind, text in DOCUMENT["x-key-kinds"].items():
        assert f"| **{kind}** | {text} |" in OVERVIEW.markdown


def sections() -> dict[str, str]:
    """The text under each heading of the part about errors."""
    _, _, errors = OVERVIEW.markdown.partition("\n## Errors\n")
    parts = [part.partition("\n") for part in errors.split("\n### ")[1:]]
    return {title: text for title, _, text in parts}


def causes_of(operation: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Status, name of the example, cause and remedy of each error."""
    for status, answer in operation["responses"].items():
        for content in referenced(DOCUMENT, answer).get("content", {}).values():
            for name, referring in content.get("examples", {}).items():
                example = referenced(DOCUMENT, referring)
                if int(status) >= 400:
                    yield status, name, example["summary"], example["x-remedy"]


def test_every_error_of_an_operation_is_in_its_group_or_among_the_common_ones() -> None:
    described = {operation["operationId"]: operation for *_, operation in operations_of(DOCUMENT)}
    common, *special, others = sections().items()
    assert (common[0], others[0]) == ("Common errors", "Other operations")
    for page in PAGES:
        link = f"[{page.title}]({ORIGIN}/docs/{page.path})"
        [text] = [text for _, text in (*special, others) if link in text]
        for status, _, cause, _ in causes_of(described[page.path.rpartition("/")[2]]):
            rows = [f"| {status} | [{cause}](" in part for part in (text, common[1])]
            assert rows.count(True) == 1, (page.title, status, cause)


def test_every_row_leads_to_the_error_on_a_page_of_the_reference() -> None:
    rows = re.findall(r"^\| \d+ \| \[.+?\]\((\S+)\) \|", OVERVIEW.markdown, re.MULTILINE)
    pages = {f"{ORIGIN}/docs/{page.path}": page.html for page in PAGES}
    assert len(rows) > 50
    for row in rows:
        page, _, anchor = row.partition("#")
        assert f'<details class="error" id="{anchor}"' in pages[page]


def test_every_remedy_is_in_the_row_of_its_error() -> None:
    plain = OVERVIEW.markdown.replace(f"]({ORIGIN}/docs/", "](")
    for *_, operation in operations_of(DOCUMENT):
        for status, _, cause, remedy in causes_of(operation):
            # Where a remedy names an operation it is a link.
            start = remedy.split("`")[0]
            row = re.escape(f"| {status} | [{cause}](") + r"\S+\) \| " + re.escape(start)
            assert re.search(row, plain), cause


def test_base_url_comes_first() -> None:
    assert OVERVIEW.path == "api/api-reference/overview"
    assert f"<code>{ORIGIN}/api/v1</code>" in unescape(OVERVIEW.html)
    assert [h.text for h in OVERVIEW.headings if h.level == 2] == [
        "Base URL",
        "Requests and responses",
        "Authentication",
        "Operations",
        "Errors",
    ]
