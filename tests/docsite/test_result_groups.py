"""Groups of search results."""

from modelgates_server.docsite.model import Excerpt
from modelgates_server.docsite.result_groups import STEP, group_of, grouped, trail


def result(path: str, section: str) -> Excerpt:
    return Excerpt(path, path, "", "", "", section)


def test_sections_belong_to_three_groups() -> None:
    assert [group_of(name) for name in ("Start", "Build", "Run")] == ["Guides"] * 3
    assert group_of("API reference: Credits") == "API reference"
    assert group_of("Concepts") == group_of("Decisions") == "Concepts & decisions"


def test_group_of_the_best_result_is_first_and_decisions_are_last() -> None:
    results = [
        result("a", "Decisions"),
        result("b", "API reference: Credits"),
        result("c", "Run"),
        result("d", "API reference: Usage"),
        result("e", "Concepts"),
    ]
    shown = [(group, [each.path for each in found]) for group, found in grouped(results)]
    assert shown == [
        ("API reference", ["b", "d"]),
        ("Guides", ["c"]),
        ("Concepts & decisions", ["a", "e"]),
    ]


def test_section_becomes_a_breadcrumb() -> None:
    assert trail("API reference: Credits") == f"API reference{STEP}Credits"
    assert trail("Run") == "Run"
