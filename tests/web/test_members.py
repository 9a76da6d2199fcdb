import pytest

from modelgates_server.web.members import folded
from tests.server import Customer
from tests.web.harness import Api


@pytest.mark.parametrize(
    "name",
    ["limit_reset", "Limit-Reset", "limitReset", " LIMIT RESET\0", "lim\u0131t_re\u017fet",
     "\uff4c\uff49mit_reset", "l\u00edmit_rese\u0301t", "li\u200bmit_reset", "L\u0130MIT_RESET"],
)  # fmt: skip
def test_names_have_one_folded_form_when_only_case_or_letter_forms_differ(name: str) -> None:
    assert folded(name) == "limitreset"


@pytest.mark.parametrize("name", ["limit", "limit_resets", "limit_rest", "", "株式会社"])
def test_other_names_have_other_folded_forms(name: str) -> None:
    assert folded(name) != "limitreset"


MODEL_LISTS = ("/models", "/models/count", "/models/user", "/embeddings/models")
OUR_FILTERS = (
    "q, category, supported_parameters, input_modalities, output_modalities, sort, offset, limit."
)


async def message_of(api: Api, path: str, key: str) -> str:
    answer = await api.call("GET", f"/api/v1{path}", key)
    assert answer.status_code == 400
    text: str = answer.json()["error"]["message"]
    return text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/activity?from=2026-11-01", "Unknown query parameter `from`."),
        ("/activity?dat=2026-11-01", "Unknown query parameter `dat`. Did you mean `date`?"),
        ("/activity?date=2026-11-23&date=2026-11-22", "Duplicate query parameter `date`."),
        ("/keys?ofset=1", "Unknown query parameter `ofset`. Did you mean `offset`?"),
        ("/credits/holds?offset=1", "Unknown query parameter `offset`. This operation has no"),
        ("/generation?id=a&id=b", "Duplicate query parameter `id`. Send it once."),
        ("/generation?generation_id=a", "Unknown query parameter `generation_id`."),
    ],
)
async def test_query_parameter_without_effect_is_rejected(
    path: str, expected: str, api: Api, acme: Customer
) -> None:
    assert (await message_of(api, path, acme.management)).startswith(expected)


@pytest.mark.parametrize("path", MODEL_LISTS)
async def test_model_filter_that_would_have_no_effect_is_rejected(
    path: str, api: Api, acme: Customer
) -> None:
    for name in ("zdr", "max_price", "providers", "region"):
        message = await message_of(api, f"{path}?{name}=x", acme.inference)
        assert message.startswith(f"The query parameter `{name}` is not supported. Leave it out")
        assert message.endswith(f"Supported: {OUR_FILTERS}")
    misspelled = await message_of(api, f"{path}?suported_parameters=tools", acme.inference)
    assert "Did you mean `supported_parameters`?" in misspelled
    twice = await message_of(api, f"{path}?q=a&q=b", acme.inference)
    assert twice == "Duplicate query parameter `q`. Send it once."


@pytest.mark.parametrize("path", MODEL_LISTS)
async def test_model_lists_ignore_parameters_that_filter_nothing(
    path: str, api: Api, acme: Customer
) -> None:
    plain = await api.call("GET", f"/api/v1{path}", acme.inference)
    for query in ("api-version=2024-10-21", "_=1700000000", "beta=true&beta=true", "source=app"):
        answer = await api.call("GET", f"/api/v1{path}?{query}", acme.inference)
        assert (answer.status_code, answer.content) == (200, plain.content)


async def test_model_list_with_too_many_parameters_is_rejected(api: Api) -> None:
    many = "&".join(f"x{number}=1" for number in range(51))
    answer = await api.call("GET", f"/api/v1/models?{many}")
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert message == "The request has more than 50 query parameters. Send fewer."
