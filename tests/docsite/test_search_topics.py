"""Searches in the words of other products."""

import pytest

from modelgates_server.docsite.search_topics import TOPICS, targets_of
from modelgates_server.docsite.site import Site

API = "api/api-reference"
KEYS = "guides/overview/auth/management-api-keys"
CREDITS = "guides/credits/credits-usage-and-holds"
CLI = "reference/cli"
EXPECTED = {
    "balance": f"{API}/credits/get-credits",
    "docker": "guides/deploying",
    "leak": KEYS,
    "leaked key": KEYS,
    "revoke": KEYS,
    "how do I revoke a key": KEYS,
    "refund": CLI,
    "refunds": CLI,
    "webhook": f"{API}/usage/get-activity",
    "TypeScript": "guides/clients",
    "typescr": "guides/clients",
    "top up": CLI,
    "top-up": CLI,
    "how do I top up an account": CLI,
}
HONEST = {
    "webhook": "ModelGates sends no webhooks.",
    "refund": "There is no refund operation.",
    "top up": "There are no payments in ModelGates.",
}


@pytest.mark.parametrize("query", EXPECTED)
def test_word_of_another_product_leads_to_its_page(site: Site, query: str) -> None:
    assert site.find(query, 8)[0].path == EXPECTED[query]


@pytest.mark.parametrize("query", HONEST)
def test_missing_feature_is_named_as_missing(site: Site, query: str) -> None:
    assert HONEST[query] in site.find(query, 8)[0].text


def test_command_of_a_topic_is_the_section_that_is_shown(site: Site) -> None:
    anchors = {query: site.find(query, 8)[0].anchor for query in ("refund", "top up", "docker")}
    assert anchors == {
        "refund": "modelgates-credits-adjust",
        "top up": "modelgates-credits-grant",
        "docker": "in-a-container",
    }


def test_every_target_is_a_page_and_fits_an_excerpt(site: Site, subtests: pytest.Subtests) -> None:
    for target in (target for topic in TOPICS for target in topic.targets):
        with subtests.test(f"{target.path} {target.about}"):
            assert target.path in site.pages
            assert len(target.text) <= 300


@pytest.mark.parametrize("phrase", [phrase for topic in TOPICS for phrase in topic.phrases])
def test_topic_is_found_by_each_of_its_phrases(site: Site, phrase: str) -> None:
    [topic] = [topic for topic in TOPICS if phrase in topic.phrases]
    assert site.find(phrase, 8)[0].path == topic.targets[0].path


@pytest.mark.parametrize(
    "words", [[], ["bal"], ["leak", "in", "the", "log", "files"], ["top"], ["key"], ["no"]]
)
def test_unrelated_query_has_no_topic(words: list[str]) -> None:
    assert targets_of(words) == ()
