"""Members under the names that they had in the release before."""

from pathlib import Path

import pytest

from tests.bootstrap.files import FREE, LOCAL, MODEL, OPENAI, configured, problem

GPT = '[models."openai/gpt-4o-mini"]\nprovider = "openai"\nmax_output_tokens = 16384\n'


def test_old_names_of_prices_are_read_and_listed_with_the_new_ones(tmp_path: Path) -> None:
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
            "providers.openai has price_list and its old name, prices: remove prices",
        ),
        (
            f'{LOCAL}{MODEL}price = "openai/gpt-4o"\nprice_from = "openai/gpt-4o"\n',
            'models."acme/m1" has price_from and its old name, price: remove price',
        ),
    ],
)
def test_old_name_is_refused_when_the_new_one_is_there_as_well(
    text: str, message: str, tmp_path: Path
) -> None:
    assert problem(tmp_path, text) == message


def test_provider_of_a_model_is_refused_when_it_is_not_text(tmp_path: Path) -> None:
    model = MODEL.replace('"local"', '["local"]')
    assert problem(tmp_path, LOCAL + model + FREE) == (
        'models."acme/m1".provider must be text in quotes, not a list: write, for example, '
        'provider = "openai"'
    )
