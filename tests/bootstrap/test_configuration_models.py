from pathlib import Path

import pytest

from modelgates_server.core.pricing.usage import Meter
from tests.bootstrap.files import FREE, LOCAL, MODEL, OPENAI, configured

GPT = '[models."openai/gpt-4o-mini"]\nprovider = "openai"\nmax_output_tokens = 16384\n'


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("markup_bp = -1", "is sold below its price: its markup is -1 basis points."),
        (
            'input_modalities = ["text", "audio"]',
            "has no rate for audio input (`input_audio`): calls that request it are rejected.",
        ),
        (
            'output_modalities = ["text", "audio"]\nmedia_tokens = 9',
            "has no rate for audio output (`output_audio`): calls",
        ),
        (
            'output_modalities = ["text", "image"]\nmedia_tokens = 9',
            "has no rate for image output (`output_image`): calls",
        ),
        (
            'prices = [{ input = "0.15", output = "0.6" }]',
            "has a rate of 0.15 dollars per token of `input`. Rates are per token, not per million",
        ),
        ('prices = [{ input = "0", output = "0.01" }]', "has a rate of 0.01 dollars per token"),
        (
            'prices = [{ input = "0", output = "0", service_tier = { flex = { input = "9" } } }]',
            "has a rate of 9 dollars per token of `input`",
        ),
        ("media_tokens = 128001", "has `media_tokens` of 128001, above its context of 128000"),
        (
            "context_length = 16383",
            "has `max_output_tokens` of 16384, above its context of 16383 tokens. No response can",
        ),
    ],
)
def test_unintended_figure_of_a_model_gives_a_warning(
    lines: str, warning: str, tmp_path: Path
) -> None:
    [message] = configured(tmp_path, f"{OPENAI}{GPT}{lines}\n").warnings
    assert message.startswith(f'`models."openai/gpt-4o-mini"` {warning}')


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_media_output_without_media_tokens_gives_a_warning(modality: str, tmp_path: Path) -> None:
    price = 'input = "0.001", output = "0.001", output_image = "0.001", output_audio = "0.001"'
    text = f'{LOCAL}{MODEL}output_modalities = ["text", "{modality}"]\nprices = [{{ {price} }}]\n'
    [message] = configured(tmp_path, text).warnings
    assert message == (
        f'`models."acme/m1"` generates {modality} output and has no `media_tokens`. Where the '
        "provider reports no usage, that output counts as zero tokens."
    )
    assert configured(tmp_path, text.replace("prices", "media_tokens = 9\nprices")).warnings == ()


def test_default_of_a_provider_above_the_maximum_of_a_model_gives_a_warning(
    tmp_path: Path,
) -> None:
    provider = LOCAL + "default_output_tokens = 101\n"
    [message] = configured(tmp_path, provider + MODEL + FREE).warnings
    assert message == (
        '`models."acme/m1"` has `max_output_tokens` of 100, below the `default_output_tokens` of '
        "`local`, 101. The lower limit is sent."
    )
    embeds = MODEL.replace("max_output_tokens = 100", 'kind = "embeddings"')
    configuration = configured(tmp_path, provider + embeds + FREE)
    assert configuration.warnings == ()
    assert configuration.models[0].output_modalities == ("embeddings",)


def test_figures_at_their_bounds_give_no_warning(tmp_path: Path) -> None:
    # The highest rates without a warning: a dollar per call, and less than a cent per token.
    price = 'input = "0.0099", output = "0.0099", request = "1"'
    lines = f"media_tokens = 1000\nprices = [{{ {price} }}]\n"
    model = MODEL.replace("= 100\n", "= 1000\n")
    text = f"{LOCAL}default_output_tokens = 1000\n{model}{lines}"
    assert configured(tmp_path, text).warnings == ()


def test_free_model_needs_no_rate_for_audio(tmp_path: Path) -> None:
    text = f'{LOCAL}{MODEL}input_modalities = ["text", "audio"]\n{FREE}'
    assert configured(tmp_path, text).warnings == ()


def test_image_input_needs_no_rate(tmp_path: Path) -> None:
    text = f'{OPENAI}{GPT}input_modalities = ["text", "image"]\n'
    assert configured(tmp_path, text).warnings == ()
    prices = configured(tmp_path, text).prices
    assert Meter.INPUT_IMAGE not in prices[0].tiers[0].rates
