"""The full-text index over the documentation."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.docsite.model import ORIGIN, Heading, Page
from modelgates_server.docsite.search import MARKS, Index
from modelgates_server.docsite.site import Site

LIMIT = 10


def page(path: str, title: str, text: str, *headings: str, section: str = "Guides") -> Page:
    return Page(
        path=path,
        title=title,
        description=f"About {path}.",
        section=section,
        markdown=f"# {title}\n\n{text}\n",
        html="",
        headings=tuple(Heading(2, each, each.lower().replace(" ", "-")) for each in headings),
    )


CREDITS = page(
    "api/get-credits",
    "Get remaining credits",
    "What was purchased and used.\n\n"
    "## Errors\n\nA **missing** `Authorization` header is a [401](errors.md).\n\n"
    "## Samples\n\n```python\n# Not a heading\nrequests.get(url)\n```",
    "Errors",
    "Samples",
)
CONCEPT = page(
    "concepts/credits",
    "Usage and holds",
    "Of your credits, what remaining calls hold is not available. "
    * 8
    + "\n\n## Captures\n\nA capture ends a hold.\n\n## Voids\n\nA void ends a hold.\n\n"
    "## Expiry\n\nA hold that expires ends too.",
    "Captures",
    "Voids",
    "Expiry",
)
LIMITS = page("guides/limits", "Limits", "| limit | resets |\n|---|---|\n| weekly | on Monday |")
INDEX = Index([CONCEPT, CREDITS, LIMITS])


def paths(query: str) -> list[str]:
    return [found.path for found in INDEX.find(query, LIMIT)]


def test_page_title_ranks_before_frequent_text() -> None:
    assert paths("remaining credits")[0] == CREDITS.path
    often = page("often", "Often", "Remaining credits are the credits that remain. " * 200)
    first, second = Index([often, CREDITS, LIMITS]).find("remaining credits", 2)
    assert (first.path, second.path) == (CREDITS.path, often.path)


def test_heading_ranks_before_frequent_text() -> None:
    first = INDEX.find("void", LIMIT)[0]
    assert (first.path, first.heading, first.anchor) == (CONCEPT.path, "Voids", "voids")
    often = page("often", "Often", "Void voids void voids. " * 20)
    first, second = Index([often, CONCEPT]).find("void", 2)
    assert (first.path, second.path) == (CONCEPT.path, often.path)


@pytest.mark.parametrize(
    "query", ["remains", "remain", "remaini", "credit remainin", "REMAINING", "authoriz", "mond"]
)
def test_page_is_found_by_other_endings_and_beginnings_of_words(query: str) -> None:
    assert paths(query)


def test_only_the_last_word_is_completed() -> None:
    whole, half = INDEX.find("purchased us", LIMIT), INDEX.find("purch capture", LIMIT)
    assert whole[0].path == CREDITS.path
    assert {found.path for found in half} == {CONCEPT.path}, (
        "pages with some of the words are found"
    )


def test_words_on_different_pages_are_found_separately() -> None:
    assert set(paths("purchased monday")) == {CREDITS.path, LIMITS.path}


def test_page_with_some_words_ranks_after_page_with_all_words() -> None:
    some = page("some", "Some", "Monday, monday, monday. " * 20)
    found = Index([some, LIMITS]).find("weekly monday", LIMIT)
    assert [each.path for each in found] == [LIMITS.path, "some"]


def test_title_within_the_query_ranks_before_text_with_more_words() -> None:
    create = page("create", "Create a key", "Issue one.")
    others = [page(f"other/{n}", f"Key {n}", "A key.") for n in range(5)]
    text = page("text", "Text", "Create, limit, key. " * 5)
    query = "how to create a key with a limit in javascript"
    assert Index([text, *others, create]).find(query, LIMIT)[0].path == "create"
    said = page("said", "Keys", "Create a key with a limit in JavaScript.")
    assert Index([said, *others]).find(query, LIMIT)[0].path == "said", (
        "a title of one word does not count"
    )


def test_title_within_the_query_ranks_before_such_a_heading() -> None:
    part = page("part", "Overview", "## Create a key\n\nCreate a key. A key.", "Create a key")
    create = page("whole", "Create a key", "Issue one. " + "More is said here. " * 50)
    results = Index([part, create]).find("create a key with a limit", LIMIT)
    assert [result.path for result in results] == ["whole", "part"]


def test_identifier_is_split_only_when_it_occurs_nowhere() -> None:
    apart = page("apart", "Apart", "Credits in total: the total of credits. " * 5)
    named = page("named", "Named", "See `total_credits`. " + "Much else is said here. " * 50)
    index = Index([apart, named])
    for query in ("total_credits", "total_credi", "total_credits see"):
        assert index.find(query, LIMIT)[0].path == "named", query
    assert Index([apart]).find("total_credits", LIMIT)[0].path == "apart"


API = "api/api-reference"
AUTH = "guides/overview/auth"
COMMON_QUERIES = {
    "credits": "guides/credits/credits-usage-and-holds",
    "remaining credits": f"{API}/credits/get-credits",
    "total_credits": f"{API}/credits/get-credits",
    "how to create a key with a limit in javascript": f"{API}/api-keys/create-key",
    "list keys": f"{API}/api-keys/list-keys",
    "chat completion": f"{API}/inference/create-chat-completion",
    "prometheus metrics": f"{API}/server/get-metrics",
    "nginx reverse proxy": "guides/deploying",
    "docker container": "guides/deploying",
    "backup sqlite database restore": "guides/operating",
    "rotate a leaked key": f"{AUTH}/management-api-keys",
    "include_disabled": f"{AUTH}/management-api-keys",
    "402": "guides/errors",
    "stream": "guides/streaming",
}


@pytest.mark.parametrize("query", COMMON_QUERIES)
def test_common_query_leads_to_the_right_page_and_to_others(site: Site, query: str) -> None:
    found = site.find(query, LIMIT)
    assert found[0].path == COMMON_QUERIES[query]
    assert len({each.path for each in found}) > 3


def test_filler_words_are_ignored_unless_the_query_has_no_others() -> None:
    chatty = page("chatty", "How do I", "How do I do this with my credits? What is this to you?")
    found = Index([chatty, CREDITS, LIMITS]).find("How do I do this with remaining credits?", LIMIT)
    assert found[0].path == CREDITS.path
    assert paths("of what")[0] == CONCEPT.path, "the query has no other words"


def test_text_ranks_before_samples() -> None:
    sample = page("a", "Sample", "```\nrotate rotate rotate\n```")
    said = page("b", "Said", "You may rotate it. " + "Much is said of other things. " * 50)
    first, second = Index([sample, said]).find("rotate", LIMIT)
    assert (first.path, second.path) == ("b", "a")


def test_samples_and_tables_are_searched() -> None:
    sample = INDEX.find("requests.get", LIMIT)[0]
    assert (sample.heading, sample.anchor) == ("Samples", "samples"), "a comment is not a heading"
    assert "\x02requests\x03.\x02get\x03(url)" in sample.text
    (row,) = INDEX.find("weekly monday", LIMIT)
    assert row.text == "limit resets \x02weekly\x03 on \x02Monday\x03"


def test_excerpt_is_plain_text_with_marked_matches() -> None:
    (found,) = INDEX.find("missing header", LIMIT)
    assert found.text == "A \x02missing\x03 Authorization \x02header\x03 is a 401."


def test_excerpt_never_contains_the_placeholder_address() -> None:
    addressed = page("a", "Addressed", f"Send `GET {ORIGIN}/api/v1/credits`.")
    assert Index([addressed]).find("modelgates example", LIMIT) == []
    (found,) = Index([addressed]).find("api credits", LIMIT)
    assert found.text == "Send GET /\x02api\x03/v1/\x02credits\x03."


def test_results_have_at_most_two_sections_of_a_page() -> None:
    assert paths("hold").count(CONCEPT.path) == 2
    assert len(INDEX.find("credits", 1)) == 1


def test_heading_without_an_anchor_leads_to_its_page() -> None:
    lacking = page("guides/keys", "Keys", "## Rotation\n\nReplace it.", "Something else")
    (found,) = Index([lacking]).find("rotation", LIMIT)
    assert (found.heading, found.anchor) == ("Rotation", "")


def test_repeated_heading_leads_to_the_right_section() -> None:
    twice = Page(
        "guides/keys",
        "Keys",
        "About keys.",
        "Guides",
        "# Keys\n\n## Example\n\nCreate\n\n## Example\n\nDelete",
        "",
        (Heading(2, "Example", "example"), Heading(2, "Example", "example-1")),
    )
    (found,) = Index([twice]).find("delete", LIMIT)
    assert found.anchor == "example-1"


ODD = ["", " ", '"', "'", "*", "(", "_", "\x00", "a\x00b", "\ud800", "💸"]
SYNTAX = ["a AND", "NOT", "NEAR(a b)", "title:credits", "-credits", "^a", "a*b", "credits OR OR"]
LONG = ["x" * 1000, "a b " * 200]


@pytest.mark.parametrize("query", [*ODD, *SYNTAX, *LONG])
def test_odd_query_is_never_a_syntax_error(query: str) -> None:
    INDEX.find(query, LIMIT)


@given(st.text(st.characters(), max_size=60))
def test_random_query_is_never_a_syntax_error(query: str) -> None:
    INDEX.find(query, LIMIT)


@given(st.lists(st.sampled_from(["a", "bc" * 70, "hold", "x" * 400]), min_size=1, max_size=40))
def test_excerpt_stays_short_and_closes_every_mark(words: list[str]) -> None:
    index = Index([page("long", "Long", " ".join(words))])
    for word in set(words):
        (found,) = index.find(word, LIMIT)
        assert len(found.text) <= 300
        assert found.text.count(MARKS[0]) == found.text.count(MARKS[1])


def test_decisions_come_after_other_pages_with_all_the_words() -> None:
    decision = page("decisions/1", "Limits in the server", "Limits. " * 9, section="Decisions")
    guide = page("guides/a", "Requests", "A server has limits. " + "More is said here. " * 30)
    some = page("guides/b", "Server", "A server.")
    results = Index([decision, some, guide]).find("limits server", LIMIT)
    assert [result.path for result in results] == ["guides/a", "decisions/1", "guides/b"]


PEOPLE_SEARCH = ["limits", "keys", "errors", "idempotency", "streaming", "usage", "openrouter"]


@pytest.mark.parametrize("query", PEOPLE_SEARCH)
def test_guides_rank_before_decisions(site: Site, query: str) -> None:
    sections = [result.section for result in site.find(query, 20)]
    guides = [place for place, name in enumerate(sections) if name in {"Start", "Build", "Run"}]
    decisions = [place for place, name in enumerate(sections) if name == "Decisions"]
    assert guides
    assert guides[0] < min(decisions, default=len(sections))


def test_yaml_is_searched_but_never_quoted() -> None:
    specified = page("a", "Operation", "Does it.\n\n## Spec\n\n```yaml\noddly_named: 1\n```")
    [result] = Index([specified]).find("oddly_named", LIMIT)
    assert (result.heading, result.text) == ("", "Does it.")


def test_excerpts_of_operations_have_no_yaml(site: Site, subtests: pytest.Subtests) -> None:
    for query in (
        "include_disabled",
        "total_usage",
        "schema",
        "openapi",
        "prompt_tokens",
        "nullable",
    ):
        for result in site.find(query, 20):
            with subtests.test(f"{query} {result.path}"):
                assert not re.search(r"type: (?:object|string|array)|\$ref", result.text)


def test_result_names_the_section_of_its_page() -> None:
    placed = page("a", "Placed", "Words.", section="API reference: Credits")
    assert Index([placed]).find("words", LIMIT)[0].section == "API reference: Credits"


def test_many_threads_search_at_once() -> None:
    alone = INDEX.find("hold", LIMIT)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: INDEX.find("hold", LIMIT), range(200)):
            assert found == alone
