"""The OpenAPI document is valid, complete and contains the seed unchanged."""

import re
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31

from modelgates_server.core.keys import KeyKind, key_hash, key_label
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.core.times import LimitReset
from modelgates_server.dialects.openai_chat.preferences import _GRAMMAR, _PRICES
from modelgates_server.dialects.openai_chat.request import _Known
from modelgates_server.web.api.key_responses import workspace_of
from modelgates_server.web.api.models import SORTS
from tests.support import has_true_checksum
from tests.web.document import SEED, operations_of, our_document, referenced, validator
from tests.web.wire_structs import STRUCTS, schema_of

DOCUMENT = our_document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
INFERENCE_BODIES = ("ChatRequest", "CompletionRequest", "EmbeddingsRequest")
ADDED_TO_SEED_OPERATION = {"x-key-kinds"}


def nodes(value: Any, place: str = "#") -> Iterator[tuple[str, Any]]:
    """Every object and list of a document, with its path."""
    if isinstance(value, dict | list):
        yield place, value
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            yield from nodes(inner, f"{place}/{name}")


def test_document_is_valid_openapi_3_1() -> None:
    jsonschema_rs.validator_for(OPENAPI_31).validate(DOCUMENT)


def test_schemas_are_valid_json_schemas(subtests: pytest.Subtests) -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        with subtests.test(name):
            Draft202012Validator.check_schema(schema)
            assert schema["title"] == name


def test_components_and_references_match_exactly() -> None:
    named = {
        f"#/components/{group}/{name}"
        for group, members in DOCUMENT["components"].items()
        if group != "securitySchemes"
        for name in members
    }
    used = {
        node["$ref"] for _, node in nodes(DOCUMENT) if isinstance(node, dict) and "$ref" in node
    }
    assert used == named


def test_examples_fit_their_schemas(subtests: pytest.Subtests) -> None:
    count = 0
    for place, node in nodes(DOCUMENT):
        if not isinstance(node, dict) or "schema" not in node:
            continue
        examples = [referenced(DOCUMENT, e)["value"] for e in node.get("examples", {}).values()]
        for example in [*examples, *([node["example"]] if "example" in node else [])]:
            count += 1
            with subtests.test(f"{place} {count}"):
                validator(DOCUMENT, node["schema"]).validate(example)
                if isinstance(example, dict) and "modelgates_metadata" in example:
                    schema = DOCUMENT["components"]["schemas"]["CreditsMetadata"]
                    validator(DOCUMENT, schema).validate(example["modelgates_metadata"])
    assert count > 40


def test_key_hash_and_label_of_the_examples_match() -> None:
    content = DOCUMENT["paths"]["/keys"]["post"]["responses"]["201"]["content"]
    example = content["application/json"]["example"]
    text, row = example["key"], example["data"]
    assert not has_true_checksum(text), "scanners would report it"
    assert (key_hash(text), key_label(text)) == (row["hash"], row["label"])
    assert workspace_of(row["creator_user_id"]) == row["workspace_id"]


def test_every_body_has_a_schema_and_an_example(subtests: pytest.Subtests) -> None:
    for method, path, operation in operations_of(DOCUMENT):
        bodies = {**operation["responses"], "body": operation.get("requestBody", {"content": {}})}
        for status, referring in bodies.items():
            for media_type, content in referenced(DOCUMENT, referring)["content"].items():
                with subtests.test(f"{method} {path} {status} {media_type}"):
                    assert content["schema"]
                    assert ("example" in content) != bool(content.get("examples"))


def test_every_error_response_has_causes_with_remedies(subtests: pytest.Subtests) -> None:
    for method, path, operation in operations_of(DOCUMENT):
        for status, referring in operation["responses"].items():
            answer = referenced(DOCUMENT, referring)
            causes = answer["content"].get("application/json", {}).get("examples", {})
            with subtests.test(f"{method} {path} {status}"):
                if int(status) < 400:
                    assert not any("x-remedy" in referenced(DOCUMENT, c) for c in causes.values())
                    continue
                assert re.fullmatch(
                    r"([A-Z]\w+ )+- [A-Z].*[^.]|.* - .*\..*\.", answer["description"]
                )
                assert causes
                for cause in (referenced(DOCUMENT, one) for one in causes.values()):
                    assert not cause["summary"].endswith(".")
                    assert re.fullmatch(r"[A-Z].*\.", cause["x-remedy"])
                    assert cause["value"]["error"]["message"]


def test_error_examples_have_their_status_as_code(subtests: pytest.Subtests) -> None:
    for method, path, operation in operations_of(DOCUMENT):
        for status, answer in operation["responses"].items():
            content = referenced(DOCUMENT, answer).get("content", {}).get("application/json", {})
            for example in content.get("examples", {}).values():
                value = referenced(DOCUMENT, example)["value"]
                with subtests.test(f"{method} {path} {status}"):
                    assert ("error" in value) == (int(status) >= 400)
                    code = value.get("error", {}).get("code")
                    # In other dialects than OpenRouter's, a code is a word, or there is none.
                    assert not isinstance(code, int) or code == int(status)
                    assert "message" in value.get("error", {"message": ""})


def test_seed_operation_is_unchanged() -> None:
    seed, ours = deepcopy(SEED["paths"]["/credits"]), deepcopy(DOCUMENT["paths"]["/credits"])
    operation = ours.pop("get")
    for name in ADDED_TO_SEED_OPERATION:
        del operation[name]
    for answer in operation["responses"].values():
        del answer["content"]["application/json"]["examples"]
    assert operation == seed["get"]
    # The additions are next to the operation, and all of them are optional.
    assert set(ours) == {"parameters"}
    assert not any(parameter["required"] for parameter in ours["parameters"])


def test_seed_components_are_unchanged() -> None:
    for group, members in SEED["components"].items():
        for name, member in members.items():
            assert DOCUMENT["components"][group][name] == member, name
    for name in ("title", "version"):
        assert DOCUMENT["info"][name] == SEED["info"][name]
    assert DOCUMENT["openapi"] == SEED["openapi"]


def test_parameters_that_the_gateway_reads_are_described() -> None:
    described = {name for schema in INFERENCE_BODIES for name in SCHEMAS[schema]["properties"]}
    read = {field.encode_name for field in msgspec.structs.fields(_Known)}
    assert described == read
    assert all(SCHEMAS[schema]["additionalProperties"] is True for schema in INFERENCE_BODIES)


def test_every_provider_preference_is_described() -> None:
    preferences = SCHEMAS["ProviderPreferences"]
    assert preferences["properties"].keys() == _GRAMMAR.names
    assert preferences["properties"]["max_price"]["properties"].keys() == _PRICES.names


def test_enums_match_the_code() -> None:
    assert SCHEMAS["LimitReset"]["enum"] == [*LimitReset, None]
    issued = set(SCHEMAS["CreateKeyRequest"]["properties"]["kind"]["enum"])
    assert issued == set(SCHEMAS["Key"]["properties"]["kind"]["enum"])
    assert issued == set(KeyKind) - {KeyKind.MANAGEMENT}
    assert SCHEMAS["Generation"]["properties"]["state"]["enum"] == list(HoldState)
    meters = SCHEMAS["ReceiptLine"]["properties"]["what"]["enum"]
    assert meters == [*Meter, "rounding", "overrun", "late_usage"]
    (sort,) = [p for p in DOCUMENT["paths"]["/models"]["get"]["parameters"] if p["name"] == "sort"]
    assert sort["schema"]["enum"] == list(SORTS)


def test_receipt_of_the_examples_adds_up() -> None:
    def example(path: str, verb: str = "get") -> Any:
        answer = DOCUMENT["paths"][path][verb]["responses"]["200"]
        return answer["content"]["application/json"]

    generation = example("/generation")["example"]["data"]
    amounts = [Decimal(line["amount"]) for line in generation["lines"]]
    for line, amount in zip(generation["lines"], amounts, strict=True):
        assert line["quantity"] * Decimal(line["rate"]) == amount
    cost = str(sum(amounts))
    usage = example("/chat/completions", "post")["example"]["usage"]
    activity = example("/activity")["examples"]["plain"]["value"]["data"][0]
    shown = (generation["total_cost"], generation["usage"], usage["cost"], activity["usage"])
    assert [str(Decimal(str(amount))) for amount in shown] == [cost] * 4


def test_every_operation_and_field_has_a_description(subtests: pytest.Subtests) -> None:
    assert list(DOCUMENT["x-key-kinds"]) == list(KeyKind)
    for method, path, operation in operations_of(DOCUMENT):
        with subtests.test(f"{method} {path}"):
            assert operation["summary"]
            assert operation["description"].endswith(".")
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*", operation["operationId"])
            assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    of_structs = filter(None, map(schema_of, STRUCTS.values()))
    for name in (*of_structs, *INFERENCE_BODIES, "Usage"):
        for member, schema in SCHEMAS[name]["properties"].items():
            with subtests.test(f"{name}.{member}"):
                assert referenced(DOCUMENT, schema).get("description")
    amounts = ("usage", "usage_daily", "limit_remaining", "byok_usage_monthly")
    for member in amounts:
        text = SCHEMAS["Key"]["properties"][member]["description"]
        assert text.startswith("US dollars"), "an amount without a unit"


def test_description_of_an_operation_says_which_keys_work(subtests: pytest.Subtests) -> None:
    sentences = {
        (): ("Needs no key.", "Requires the metrics token instead of a key"),
        ("inference",): ("Requires an inference key.",),
        ("management",): ("Requires a management key.",),
        ("management", "viewer"): ("Requires a management or viewer key.",),
        tuple(KeyKind): ("Works with any key",),
    }
    for method, path, operation in operations_of(DOCUMENT):
        # The description of the seed is fixed; the page names its keys next to the samples.
        if operation["operationId"] != "get-credits":
            with subtests.test(f"{method} {path}"):
                expected = sentences[tuple(operation["x-key-kinds"])]
                assert any(sentence in operation["description"] for sentence in expected)


def test_every_amount_names_its_unit(subtests: pytest.Subtests) -> None:
    amounts = {f"#/components/schemas/{name}" for name in ("Dollars", "Rate", "ExactText")}
    for name, schema in SCHEMAS.items():
        for place, node in nodes(schema):
            if isinstance(node, dict) and node.get("$ref") in amounts:
                with subtests.test(f"{name} {place}"):
                    assert node["description"].startswith("US dollars")


def test_descriptions_are_not_cut_at_a_comma(subtests: pytest.Subtests) -> None:
    # In {description: one, two} the second half is a name without a value.
    for place, node in nodes(DOCUMENT):
        if isinstance(node, dict) and "description" in node and "id" not in node:
            with subtests.test(place):
                assert None not in node.values()
