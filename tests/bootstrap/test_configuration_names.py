"""Fields under the names that they had in the previous release."""

from pathlib import Path

import pytest

from tests.bootstrap.files import FREE, LOCAL, MODEL, OPENAI, configured, problem

GPT = '[models."openai/gpt-4o-mini"]\nprovider = "openai"\nmax_output_tokens = 16384\n'


def test_deprecated_names_of_prices_are_read_and_listed_with_the_new_ones(tmp_path: Path) -> None:
    old = OPENAI.replace("price_list", "prices") + GPT
    configuration = configured(tmp_path, f'{old}{LOCAL}{MODEL}price = "openai/gpt-4o"\n')
    new = configured(tmp_path, f'{OPENAI}{GPT}{LOCAL}{MODEL}price_from = "openai/gpt-4o"\n')
    assert configuration.prices == new.prices
    assert configuration.old_names == {
        "providers.openai.prices": "price_list",
        'models."acme/m1".price': "price_from",
    }
    assert new.old_names == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            OPENAI + 'prices = "openai"\n',
            "`providers.openai` has both `price_list` and its old name, `prices`. Remove `prices`.",
        ),
        (
            f'{LOCAL}{MODEL}price = "openai/gpt-4o"\nprice_from = "openai/gpt-4o"\n',
            '`models."acme/m1"` has both `price_from` and its old name, `price`. Remove `price`.',
        ),
    ],
)
def test_deprecated_name_is_rejected_next_to_the_new_name(
    text: str, message: str, tmp_path: Path
) -> None:
    assert problem(tmp_path, text) == message


def test_provider_of_a_model_is_rejected_when_it_is_not_text(tmp_path: Path) -> None:
    model = MODEL.replace('"local"', '["local"]')
    assert problem(tmp_path, LOCAL + model + FREE) == (
        '`models."acme/m1".provider` must be text in quotes, not a list. Example: '
        '`provider = "openai"`.'
    )
