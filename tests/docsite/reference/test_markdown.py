"""The Markdown twin of an operation: the order of the seed, and a complete specification."""

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
LEXERS = ["bash", "python", "javascript", "go", "ruby", "java", "php", "csharp", "swift"]


def specification(page: Page) -> dict[str, Any]:
    block = re.search(r"^```yaml\n(.*?)^```$", page.markdown, re.MULTILINE | re.DOTALL)
    assert block
    read: dict[str, Any] = yaml.safe_load(block[1])
    return read


def references(value: Any) -> set[str]:
    return {node["$ref"] for _, node in nodes(value) if isinstance(node, dict) and "$ref" in node}


def test_sections_have_the_order_of_the_seed() -> None:
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
    assert re.findall(r"^```(\w+)$", samples, re.MULTILINE) == LEXERS


def test_samples_start_with_the_kinds_of_keys_that_work(subtests: pytest.Subtests) -> None:
    for path, expected in {
        "credits/get-credits": "Set `MODELGATES_API_KEY` to a management or viewer key.",
        "inference/create-embeddings": "Set `MODELGATES_API_KEY` to an inference key.",
        "usage/get-generation": (
            "Set `MODELGATES_API_KEY` to a management, inference or viewer key."
        ),
        "server/get-metrics": "Set `MODELGATES_METRICS_TOKEN` to the metrics token.",
        "models/list-models": "cURL: ",
    }.items():
        with subtests.test(path):
            markdown = PAGES[f"api/api-reference/{path}"].markdown
            assert f"## SDK Code Examples\n\n{expected}" in markdown


def test_numbers_of_examples_have_no_exponents() -> None:
    page = PAGES["api/api-reference/inference/create-chat-completion"]
    assert "cost: 0.0000078\n" in page.markdown
    assert ">0.0000078<" in page.html
    for each in OPERATIONS.values():
        assert not re.search(r"\b\de-0\d", each.markdown + each.html)


def test_specification_is_valid_and_has_this_operation_alone(
    subtests: pytest.Subtests,
) -> None:
    for path, page in OPERATIONS.items():
        with subtests.test(path):
            described = specification(page)
            jsonschema_rs.validator_for(OPENAPI_31).validate(described)
            [(path_in_document, item)] = described["paths"].items()
            whole = DOCUMENT["paths"][path_in_document]
            [verb] = [name for name in item if name not in {"parameters", "servers"}]
            assert item == {name: whole[name] for name in whole if name in item}
            assert path.endswith(f"/{item[verb]['operationId']}")
            assert {"parameters", "servers"} & set(whole) <= set(item)
            assert described["servers"] == DOCUMENT["servers"]
            assert described["security"] == whole[verb].get("security", DOCUMENT["security"])


def test_specification_has_all_referenced_components_and_no_others(
    subtests: pytest.Subtests,
) -> None:
    for path, page in OPERATIONS.items():
        with subtests.test(path):
            described = specification(page)
            components = described.get("components", {})
            schemes = components.pop("securitySchemes", {})
            assert set(schemes) == {name for scheme in described["security"] for name in scheme}
            included = {
                f"#/components/{group}/{name}" for group in components for name in components[group]
            }
            assert included == references(described)
            for group, members in components.items():
                for name, member in members.items():
                    assert member == DOCUMENT["components"][group][name]


def test_specification_of_credits_has_every_schema_of_the_seed() -> None:
    described = specification(CREDITS)
    seed = SEED["paths"]["/credits"]["get"]
    assert {
        name: described["paths"]["/credits"]["get"][name] for name in seed if name != "responses"
    } == {name: value for name, value in seed.items() if name != "responses"}
    for name, schema in SEED["components"]["schemas"].items():
        assert described["components"]["schemas"][name] == schema


def test_specification_has_required_fields_and_parameters_first(
    subtests: pytest.Subtests,
) -> None:
    for path, page in OPERATIONS.items():
        with subtests.test(path):
            for _, node in nodes(specification(page)):
                if not isinstance(node, dict):
                    continue
                if isinstance(node.get("required"), list) and "properties" in node:
                    places = [name not in node["required"] for name in node["properties"]]
                    assert places == sorted(places)
                if isinstance(node.get("parameters"), list):
                    places = [not each.get("required", False) for each in node["parameters"]]
                    assert places == sorted(places)


def test_specification_has_no_yaml_aliases() -> None:
    for page in OPERATIONS.values():
        assert not re.search(r"(: |- )[&*]\w|<<:", page.markdown)


def test_fence_is_longer_than_any_in_the_code() -> None:
    assert fenced("md", "a\n```\nb\n````\n") == "`````md\na\n```\nb\n````\n`````"
    assert fenced("go", "a := `x`") == "```go\na := `x`\n```"
