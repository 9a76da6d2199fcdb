from pathlib import Path

import pytest

from modelgates_server.core.pricing.usage import Meter
from tests.bootstrap.files import FREE, LOCAL, MODEL, OPENAI, configured

GPT = '[models."openai/gpt-4o-mini"]\nprovider = "openai"\nmax_output_tokens = 16384\n'


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("markup_bp = -1", "is sold below its price"),
        ('input_modalities = ["text", "audio"]', "has no rate for audio in: calls that ask for it"),
        ('output_modalities = ["text", "audio"]\nmedia_tokens = 9', "has no rate for audio out"),
        ('output_modalities = ["text", "image"]\nmedia_tokens = 9', "has no rate for images out"),
        (
            'prices = [{ input = "0.15", output = "0.6" }]',
            "has a rate of 0.15 dollars for one token of input: rates are for one token, and not f",
        ),
        ('prices = [{ input = "0", output = "0.01" }]', "has a rate of 0.01 dollars for one token"),
        (
            'prices = [{ input = "0", output = "0", service_tier = { flex = { input = "9" } } }]',
            "has a rate of 9 dollars for one token of input",
        ),
        ("media_tokens = 128001", "has media_tokens of 128001, above its context of 128000"),
        (
            "context_length = 16383",
            "has max_output_tokens of 16384, above its context of 16383: no answer is longer",
        ),
    ],
)
def test_what_is_perhaps_not_meant_is_warned_of(lines: str, warning: str, tmp_path: Path) -> None:
    [message] = configured(tmp_path, f"{OPENAI}{GPT}{lines}\n").warnings
    assert message.startswith(f'models."openai/gpt-4o-mini" {warning}')


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_model_that_gives_media_is_warned_of_when_nobody_knows_their_tokens(
    modality: str, tmp_path: Path
) -> None:
    price = 'input = "0.001", output = "0.001", output_image = "0.001", output_audio = "0.001"'
    text = f'{LOCAL}{MODEL}output_modalities = ["text", "{modality}"]\nprices = [{{ {price} }}]\n'
    [message] = configured(tmp_path, text).warnings
    assert message == (
        f'models."acme/m1" gives {modality} and has no media_tokens: where the provider reports no '
        "usage, such output counts as nothing"
    )
    assert configured(tmp_path, text.replace("prices", "media_tokens = 9\nprices")).warnings == ()


def test_default_of_a_provider_is_warned_of_when_it_is_above_the_maximum_of_a_model(
    tmp_path: Path,
) -> None:
    provider = LOCAL + "default_output_tokens = 101\n"
    [message] = configured(tmp_path, provider + MODEL + FREE).warnings
    assert message == (
        'models."acme/m1" has max_output_tokens of 100, below the default_output_tokens of local, '
        "101: the lower one goes out"
    )
    embeds = MODEL.replace("max_output_tokens = 100", 'kind = "embeddings"')
    configuration = configured(tmp_path, provider + embeds + FREE)
    assert configuration.warnings == ()
    assert configuration.models[0].output_modalities == ("embeddings",)


def test_usual_figures_are_not_warned_of_when_they_reach_the_bounds(tmp_path: Path) -> None:
    # The dearest rates that are: a dollar for a call, and less than a cent for a token.
    price = 'input = "0.0099", output = "0.0099", request = "1"'
    lines = f"media_tokens = 1000\nprices = [{{ {price} }}]\n"
    model = MODEL.replace("= 100\n", "= 1000\n")
    text = f"{LOCAL}default_output_tokens = 1000\n{model}{lines}"
    assert configured(tmp_path, text).warnings == ()


def test_a_free_model_gives_away_sound_as_well(tmp_path: Path) -> None:
    text = f'{LOCAL}{MODEL}input_modalities = ["text", "audio"]\n{FREE}'
    assert configured(tmp_path, text).warnings == ()


def test_images_that_are_read_count_as_text_and_need_no_rate(tmp_path: Path) -> None:
    text = f'{OPENAI}{GPT}input_modalities = ["text", "image"]\n'
    assert configured(tmp_path, text).warnings == ()
    prices = configured(tmp_path, text).prices
    assert Meter.INPUT_IMAGE not in prices[0].tiers[0].rates
