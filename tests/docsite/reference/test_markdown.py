"""The Markdown twin of an operation: in the seed's order, and complete by itself."""

import re
from typing import Any

import jsonschema_rs
import pytest
import yaml
from schemathesis.specs.openapi.definitions import OPENAPI_31

from modelgates_server.docsite.model import ORIGIN, Page
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.reference import pages as reference
from modelgates_server.docsite.reference.markdown import fenced
from tests.docsite.test_openapi import nodes
from tests.web.document import SEED

DOCUMENT = document_at(ORIGIN)
PAGES = {page.path: page for page in reference.pages(DOCUMENT)}
OPERATIONS = {path: page for path, page in PAGES.items() if not path.endswith("/overview")}
CREDITS = PAGES["api/api-reference/credits/get-credits"]
LANGUAGES = ["python", "javascript", "go", "ruby", "java", "php", "csharp", "swift"]


def specification(page: Page) -> dict[str, Any]:
    found = re.search(r"^```yaml\n(.*?)^```$", page.markdown, re.MULTILINE | re.DOTALL)
    assert found
    read: dict[str, Any] = yaml.safe_load(found[1])
    return read


def references(value: Any) -> set[str]:
    return {node["$ref"] for _, node in nodes(value) if isinstance(node, dict) and "$ref" in node}


def test_it_has_the_order_of_the_seed() -> None:
    url = f"{ORIGIN}/docs"
    description = (
        "Get total credits purchased and used for the authenticated user. "
        f"[Management key]({url}/guides/overview/auth/management-api-keys) required."
    )
    head = (
        "# Get remaining credits\n\n"
        f"GET {ORIGIN}/api/v1/credits\n\n"
        f"{description}\n\n"
        f"Reference: {url}/api/api-reference/credits/get-credits\n\n"
        "## OpenAPI Specification\n\n"
        "```yaml\nopenapi: 3.1.0\n"
    )
    assert CREDITS.markdown.startswith(head)
    _, _, samples = CREDITS.markdown.partition("\n## SDK Code Examples\n\n")
    assert re.findall(r"^```(\w+)$", samples, re.MULTILINE) == LANGUAGES


def test_the_specification_is_valid_and_of_this_operation_alone(
    subtests: pytest.Subtests,
) -> None:
    for path, page in OPERATIONS.items():
        with subtests.test(path):
            told = specification(page)
            jsonschema_rs.validator_for(OPENAPI_31).validate(told)
            [(place, item)] = told["paths"].items()
            whole = DOCUMENT["paths"][place]
            [verb] = [name for name in item if name not in {"parameters", "servers"}]
            assert item == {name: whole[name] for name in whole if name in item}
            assert path.endswith(f"/{item[verb]['operationId']}")
            assert {"parameters", "servers"} & set(whole) <= set(item)
            assert told["servers"] == DOCUMENT["servers"]
            assert told["security"] == whole[verb].get("security", DOCUMENT["security"])


def test_the_specification_has_all_it_refers_to_unchanged_and_nothing_else(
    subtests: pytest.Subtests,
) -> None:
    for path, page in OPERATIONS.items():
        with subtests.test(path):
            told = specification(page)
            components = told.get("components", {})
            schemes = components.pop("securitySchemes", {})
            assert set(schemes) == {name for one in told["security"] for name in one}
            there = {
                f"#/components/{group}/{name}" for group in components for name in components[group]
            }
            assert there == references(told)
            for group, members in components.items():
                for name, member in members.items():
                    assert member == DOCUMENT["components"][group][name]


def test_the_operation_of_the_seed_is_told_with_every_schema_of_it() -> None:
    told = specification(CREDITS)
    seed = SEED["paths"]["/credits"]["get"]
    assert {
        name: told["paths"]["/credits"]["get"][name] for name in seed if name != "responses"
    } == {name: value for name, value in seed.items() if name != "responses"}
    for name, schema in SEED["components"]["schemas"].items():
        assert told["components"]["schemas"][name] == schema


def test_a_specification_is_read_by_those_who_know_no_aliases() -> None:
    for page in OPERATIONS.values():
        assert not re.search(r"(: |- )[&*]\w|<<:", page.markdown)


def test_a_fence_is_longer_than_any_in_the_code() -> None:
    assert fenced("md", "a\n```\nb\n````\n") == "`````md\na\n```\nb\n````\n`````"
    assert fenced("go", "a := `x`") == "```go\na := `x`\n```"
