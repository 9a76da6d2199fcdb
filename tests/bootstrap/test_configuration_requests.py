"""Request parameters of a provider, as its host and the file determine them, and warnings."""

from pathlib import Path

import pytest

from modelgates_server.core.pricing.catalog import Endpoint
from tests.bootstrap.files import configured

OLD, NEW = "max_tokens", "max_completion_tokens"
OPENAI = "https://api.openai.com/v1"
UNKNOWN = "https://relay.example/v1"
DASHSCOPE = "https://dashscope.aliyuncs.com/compatible-mode/v1"
OLLAMA = "http://127.0.0.1:11434/v1"


def text(url: str, *fields: str, model: str = "large") -> str:
    return "\n".join(
        (
            "[providers.acme]",
            f'base_url = "{url}"',
            *fields,
            '[models."acme/m"]',
            'provider = "acme"',
            f'upstream_model = "{model}"',
            "context_length = 1000",
            "max_output_tokens = 100",
            '[[models."acme/m".prices]]',
            'input = "0.0000001"',
            'output = "0.0000002"',
        )
    )


def endpoint(folder: Path, url: str, *fields: str) -> Endpoint:
    [model] = configured(folder, text(url, *fields)).models
    return model.endpoint


@pytest.mark.parametrize(
    ("url", "fields", "cap", "keeps", "profile"),
    [
        (OPENAI, (), NEW, False, "openai"),
        (OPENAI, (f'cap_parameter = "{OLD}"',), OLD, False, "openai"),
        ("https://x.openai.azure.com/openai/v1", (), NEW, False, "azure"),
        ("https://api.mistral.ai/v1", (), OLD, False, "mistral"),
        ("https://ark.cn-beijing.volces.com/api/v3", (), NEW, False, "volcengine"),
        ("https://openrouter.ai/api/v1", (), OLD, True, "openrouter"),
        (OLLAMA, (), OLD, False, "ollama"),
        (UNKNOWN, (), OLD, True, "compatible"),
        (UNKNOWN, ('price_list = "openai"',), NEW, False, "openai"),
        (UNKNOWN, (f'cap_parameter = "{NEW}"',), NEW, False, "compatible"),
    ],
)
def test_name_of_the_limit_follows_from_file_host_and_price_list(
    tmp_path: Path, url: str, fields: tuple[str, ...], cap: str, keeps: bool, profile: str
) -> None:
    at = endpoint(tmp_path, url, *fields)
    assert (at.cap_parameter, at.keeps_cap_name, at.profile) == (cap, keeps, profile)
    assert at.stream_options


def test_stream_options_can_be_switched_off(tmp_path: Path) -> None:
    assert not endpoint(tmp_path, OPENAI, "stream_options = false").stream_options


@pytest.mark.parametrize(
    ("url", "fields", "model", "warning"),
    [
        (OPENAI, (), "gpt-5", None),
        (OPENAI, (f'cap_parameter = "{OLD}"',), "gpt-4o", None),
        (OPENAI, (f'cap_parameter = "{OLD}"',), "gpt-5-mini", "a reasoning model of OpenAI"),
        (UNKNOWN, (f'cap_parameter = "{OLD}"',), "openai/o3", "a reasoning model of OpenAI"),
        (OLLAMA, (f'cap_parameter = "{OLD}"',), "gpt-5-lookalike", None),
        (OLLAMA, (f'cap_parameter = "{NEW}"',), "llama", "but Ollama reads `max_tokens`"),
        (DASHSCOPE, (f'cap_parameter = "{NEW}"',), "qwen3.5-plus", None),
        (DASHSCOPE, (f'cap_parameter = "{OLD}"',), "qwen-plus", None),
        (DASHSCOPE, (), "qwen-plus", "`max_tokens` of Alibaba (Qwen) does not limit reasoning"),
        (OPENAI, ("stream_options = false",), "gpt-4o", "are charged by an estimate"),
        (UNKNOWN, (), "large", "`providers.acme` is not a known host"),
        (UNKNOWN, (f'cap_parameter = "{NEW}"',), "large", None),
        (UNKNOWN, ('price_list = "openai"',), "large", None),
    ],
)
def test_doubtful_request_parameters_give_a_warning(
    tmp_path: Path, url: str, fields: tuple[str, ...], model: str, warning: str | None
) -> None:
    warnings = configured(tmp_path, text(url, *fields, model=model)).warnings
    assert len(warnings) == (warning is not None)
    assert warning is None or warning in warnings[0]
