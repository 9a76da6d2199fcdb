"""The first page of the reference: nothing and nobody is left out of it."""

from html import unescape

from modelgates_server.core.keys import KeyKind
from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.reference import pages as reference
from tests.web.document import operations_of, referenced

DOCUMENT = document_at(ORIGIN)
OVERVIEW, *PAGES = reference.pages(DOCUMENT)


def test_every_operation_is_listed_with_its_keys() -> None:
    lines = OVERVIEW.markdown.splitlines()
    described = {operation["operationId"]: operation for *_, operation in operations_of(DOCUMENT)}
    for page in PAGES:
        kinds = described[page.path.rpartition("/")[2]]["x-key-kinds"]
        [line] = [line for line in lines if f"[{page.title}]({ORIGIN}/docs/{page.path})" in line]
        keys = line.split("|")[3].strip()
        assert keys in {
            frozenset(KeyKind): {"any"},
            frozenset(): {"open", "a token of its own"},
        }.get(frozenset(kinds), {", ".join(kinds)})
        assert (keys == "a token of its own") == page.path.endswith("/get-metrics")


def test_every_kind_of_key_is_told() -> None:
    assert set(DOCUMENT["x-key-kinds"]) == set(KeyKind)
    for kind, text in DOCUMENT["x-key-kinds"].items():
        assert f"| **{kind}** | {text} |" in OVERVIEW.markdown


def test_every_cause_of_an_error_is_listed_once_with_its_remedy() -> None:
    lines = OVERVIEW.markdown.splitlines()
    starts = set()
    for *_, operation in operations_of(DOCUMENT):
        for status, answer in operation["responses"].items():
            for content in referenced(DOCUMENT, answer).get("content", {}).values():
                for example in content.get("examples", {}).values():
                    if int(status) >= 400:
                        starts.add(f"| {status} | {referenced(DOCUMENT, example)['summary']} | ")
    plain = [line.replace(f"]({ORIGIN}/docs/", "](") for line in lines]
    told = [line for line in plain if line[2:5].isdigit()]
    assert len(told) == len(starts)
    for start in starts:
        # Where the cause names an operation it is a link.
        words = start.split("`")[0]
        assert any(line.startswith(words) for line in told), start
    assert told == sorted(told, key=lambda line: line[2:5])


def test_where_the_api_is_stands_on_top() -> None:
    assert OVERVIEW.path == "api/api-reference/overview"
    assert f"<code>{ORIGIN}/api/v1</code>" in unescape(OVERVIEW.html)
    assert [h.text for h in OVERVIEW.headings if h.level == 2] == [
        "Base URL",
        "Requests and answers",
        "Authentication",
        "Operations",
        "Errors",
    ]
