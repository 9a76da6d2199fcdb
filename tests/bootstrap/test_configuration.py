import pickle
from pathlib import Path

import pytest

from modelgates_server.bootstrap.configuration import load_configuration, valid_configuration
from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api, CapParameter
from tests.bootstrap.files import FREE, LOCAL, MODEL, OPENAI, configured, problem, read, write

ROOT = Path(__file__).parents[2]
KEYED = OPENAI + 'api_key_env = "ACME_KEY"\n'
GPT = '[models."openai/gpt-4o-mini"]\nprovider = "openai"\nmax_output_tokens = 16384\n'
ACCOUNT = "user_0000000000000000000000"


def test_example_file_is_valid_and_shows_every_kind_of_table() -> None:
    makers = ("OPENAI", "AZURE_OPENAI", "ANTHROPIC", "GROQ", "MISTRAL")
    keys = [f"{maker}_API_KEY" for maker in makers]
    configuration = load_configuration(
        ROOT / "modelgates.example.toml", dict.fromkeys(keys, "sk-test")
    )
    assert [settings.name for settings in configuration.providers] == [
        "openai", "azure", "anthropic", "groq", "relay", "mistral", "ollama",
    ]  # fmt: skip
    models = {model.id: model for model in configuration.models}
    assert models["azure/gpt-4o"].endpoint.id == "azure:my-deployment"
    assert models["azure/gpt-4o"].markup_bp == 500
    assert models["openai/text-embedding-3-small"].apis == {Api.EMBEDDINGS}
    assert "sandbox/echo" in models
    assert configuration.account_markup_bp == {ACCOUNT: 250}
    assert ["stream_options" in each for each in configuration.warnings] == [True]


def test_sandbox_alone_is_offered_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    configuration = load_configuration(None, {})
    assert (configuration.path, configuration.providers) == (None, ())
    assert {model.endpoint.provider for model in configuration.models} == {"sandbox"}
    assert {price.endpoint_id for price in configuration.prices} == {
        model.endpoint.id for model in configuration.models
    }


def test_file_in_the_working_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, LOCAL + MODEL + FREE)
    monkeypatch.chdir(tmp_path)
    [model] = load_configuration(None, {}).models
    assert model.id == "acme/m1"


@pytest.mark.parametrize(("line", "offered"), [("", False), ("sandbox = true\n", True)])
def test_sandbox_is_offered_with_a_file_only_if_enabled(
    line: str, offered: bool, tmp_path: Path
) -> None:
    configuration = configured(tmp_path, line + LOCAL + MODEL + FREE)
    assert configuration.sandbox is offered
    assert ("sandbox/echo" in {model.id for model in configuration.models}) is offered


def test_model_has_the_values_of_its_table(tmp_path: Path) -> None:
    text = f"""
    markup_bp = 100
    {OPENAI}
    cap_parameter = "max_completion_tokens"
    {GPT}
    name = "Mini"
    description = "Small."
    media_tokens = 1100
    input_modalities = ["text", "image"]
    parameters = ["tools"]
    """
    [model] = configured(tmp_path, text).models
    assert model.endpoint.id == "openai:gpt-4o-mini"
    assert model.endpoint.cap_parameter is CapParameter.MAX_COMPLETION_TOKENS
    assert (model.name, model.description) == ("Mini", "Small.")
    assert (model.context_tokens, model.output_tokens, model.media_tokens) == (
        128_000,
        16_384,
        1100,
    )
    assert model.apis == {Api.CHAT, Api.MESSAGES, Api.RESPONSES, Api.COMPLETIONS}
    assert (model.input_modalities, model.output_modalities) == (("text", "image"), ("text",))
    assert (model.parameters, model.markup_bp) == (("tools",), 100)


def test_name_and_upstream_model_default_to_the_model_id(tmp_path: Path) -> None:
    [model] = configured(tmp_path, OPENAI + GPT).models
    assert (model.name, model.endpoint.upstream_model) == ("openai/gpt-4o-mini", "gpt-4o-mini")
    text = LOCAL + MODEL.replace("acme/m1", "local/meta-llama/Llama-3.3:free") + FREE
    [model] = configured(tmp_path, text).models
    assert model.endpoint.id == "local:meta-llama/Llama-3.3:free"


def test_markup_of_a_model_overrides_the_common_one_even_when_zero(
    tmp_path: Path,
) -> None:
    text = f"markup_bp = 500\nsandbox = true\n{OPENAI}{GPT}markup_bp = 0\n"
    by_id = {model.id: model.markup_bp for model in configured(tmp_path, text).models}
    assert by_id["openai/gpt-4o-mini"] == 0
    assert by_id["sandbox/echo"] == 500


def test_provider_key_comes_from_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, KEYED + 'api_key_header = "api-key"\nidle_timeout_s = 7\n')
    [settings] = load_configuration(path, {"ACME_KEY": "sk-1"}).providers
    assert (settings.api_key, settings.api_key_header) == ("sk-1", "api-key")
    assert (settings.base_url, settings.idle_timeout_s) == ("https://api.openai.com/v1", 7)


def test_provider_key_comes_from_a_mounted_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sk-2\n", encoding="utf-8")
    path = write(tmp_path, KEYED)
    [settings] = load_configuration(path, {"ACME_KEY_FILE": str(tmp_path / "secret")}).providers
    assert settings.api_key == "sk-2"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, r"\. Set `ACME_KEY` to the key, or `ACME_KEY_FILE` to a file with the key\.$"),
        ({"ACME_KEY": ""}, r"\. Set `ACME_KEY` to the key, or `ACME_KEY_FILE` to a file with the"),
        (
            {"ACME_KEY_FILE": "/nowhere"},
            ": the file in `ACME_KEY_FILE` cannot be read: .*No such f",
        ),
        ({"ACME_KEY_FILE": "/dev/null"}, ": the file in `ACME_KEY_FILE` is empty"),
    ],
)
def test_missing_key_stops_the_server_but_not_other_commands(
    environment: dict[str, str], reason: str, tmp_path: Path
) -> None:
    path = write(tmp_path, KEYED + GPT)
    with pytest.raises(InvalidInput, match=f"^The key of provider `openai` is missing{reason}"):
        load_configuration(path, environment)
    configuration = valid_configuration(path, environment)
    assert configuration.key_variables == {"openai": "ACME_KEY"}
    assert list(configuration.unset_keys) == ["openai"]


def test_provider_without_a_key_variable_needs_no_key(tmp_path: Path) -> None:
    [settings] = load_configuration(write(tmp_path, LOCAL), {}).providers
    assert settings.api_key is None


def test_configuration_never_shows_a_key(tmp_path: Path) -> None:
    configuration, _ = read(tmp_path, KEYED, {"ACME_KEY": "sk-secret"})
    assert "sk-secret" not in repr(configuration)
    for bad in ("sk-secret\n", "sk-sécret-secret"):
        _, [wrong] = read(tmp_path, KEYED, {"ACME_KEY": bad})
        assert "secret" not in wrong


def test_configuration_survives_pickling_for_workers(tmp_path: Path) -> None:
    configuration, _ = read(tmp_path, KEYED + GPT, {"ACME_KEY": "sk-1"})
    sent = pickle.dumps(configuration)
    assert pickle.loads(sent) == configuration  # noqa: S301 - pickled one line above


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = """
    markup_bp = 5
    [providers.one]
    base_uri = "https://a/v1"
    [providers.two]
    base_url = "ftp://a/v1"
    [models."a/b"]
    provider = "one"
    [models."c/d"]
    provider = "three"
    [models.e]
    provider = "two"
    [accounts.acme]
    markup_bp = 1
    """
    configuration, problems = read(tmp_path, text)
    assert [message.split(" ")[0].rstrip(":") for message in problems] == [
        "`providers.one.base_uri`", "`providers.two`", '`models."c/d".provider`', "`models.e`",
        "`accounts.acme`",
    ]  # fmt: skip
    assert configuration.models == ()
    message = r"modelgates.toml: `providers\.one.*`modelgates config check` lists all problems\.$"
    with pytest.raises(InvalidInput, match=message):
        valid_configuration(configuration.path, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("markup = 5", "`markup` is not a known field. Did you mean `markup_bp`?"),
        (
            "markup_bp = -10001",
            "`markup_bp` must be at least -10000, not `-10001`. Example: `markup_bp = 500`.",
        ),
        ("markup_bp = 1000001", "`markup_bp` must be at most 1000000, not `1000001`. Example: "),
        ("markup_bp = 2.5", "`markup_bp` must be a whole number, not a number. Example: "),
        ("[provider.x]\na = 1", "`provider` is not a known field. Did you mean `providers`?"),
        ("providers = 1", "`providers` must be a table, not a whole number. See docs/"),
        ("a = ", "The file is not valid TOML: Invalid value (at "),
        ("[models]\n[models]", "The file is not valid TOML: Cannot declare ('models',) twice (at "),
    ],
)
def test_invalid_file_gives_the_place_and_the_remedy(
    text: str, expected: str, tmp_path: Path
) -> None:
    assert problem(tmp_path, text).startswith(expected)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.toml: The file cannot be read: No such file"):
        load_configuration(tmp_path / "gone.toml", {})
    (tmp_path / "binary.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(InvalidInput, match="The file is not UTF-8 text"):
        load_configuration(tmp_path / "binary.toml", {})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "base_url` is missing. Example: `base_url = "),
        ('base_url = "api.openai.com"', "`: `base_url` must be a URL such as https://host/v1"),
        ('base_url = "http://[::1"', "`: `base_url` must be a URL such as https://host/v1"),
        ('base_url = "https://key@host/v1"', "`: `base_url` must be a URL such as https://host/v1"),
        (
            'base_url = "https://a/v1"\nprice_list = "openay"',
            "price_list` is unknown: `openay`. Known price lists are `anthropic`, ",
        ),
        (
            'base_url = "https://a/v1"\nheaders = { Authorization = "x" }',
            "headers` must not contain a key, but sets `Authorization`. Name the variable",
        ),
        (
            'base_url = "https://a/v1"\nheaders = { X-Api-Key = "x" }',
            "headers` must not contain a key, but sets `X-Api-Key`. Name the variable",
        ),
        (
            'base_url = "https://a/v1"\nheaders = { "a b" = "x" }',
            "`: the header 'a b' cannot be set",
        ),
        (
            'base_url = "https://a/v1"\ncap_parameter = "max"',
            "cap_parameter` must be `max_tokens` or `max_completion_tokens`, not `max`. Example: ",
        ),
        (
            'base_url = "https://a/v1"\ntotal_timeout_s = 0',
            "total_timeout_s` must be more than 0, not `0`. Example: `total_timeout_s = 1800`.",
        ),
        (
            'base_url = "https://a/v1"\ntotal_timeout_s = nan',
            "total_timeout_s` must be a finite number, not `nan`. Example: `total_timeout_s = 18",
        ),
        (
            'base_url = "https://a/v1"\napi_key = "sk-1"',
            "api_key` is not a known field. Did you mean `api_k",
        ),
    ],
)
def test_invalid_provider_field_is_named_by_its_path(
    lines: str, expected: str, tmp_path: Path
) -> None:
    model = MODEL.replace('"local"', '"one"')
    message = problem(tmp_path, f"[providers.one]\n{lines}\n{model}{FREE}")
    assert message.removeprefix("`providers.one").removeprefix(".").startswith(expected)


def test_key_in_place_of_its_variable_is_rejected_and_not_repeated(tmp_path: Path) -> None:
    message = problem(tmp_path, OPENAI + 'api_key_env = "sk-proj-123"\n')
    assert message.startswith("`providers.openai.api_key_env` must be the name of an environment v")
    assert "sk-proj-123" not in message


@pytest.mark.parametrize("name", ["OpenAI", "sandbox", "a.b", "a:b", "a/b", "-a", ""])
def test_invalid_provider_name_is_rejected(name: str, tmp_path: Path) -> None:
    message = problem(tmp_path, f'[providers."{name}"]\nbase_url = "https://a/v1"\n')
    assert "is not a valid provider name. Use lower-case letters" in message


@pytest.mark.parametrize(
    "model_id",
    [
        "m1",
        "/m1",
        "acme/",
        "acme//m1",
        "acme/m 1",
        "acme/m1/",
        "acme/é",
        "acme/" + "m" * 255,
        "a:b/c",
    ],
)
def test_invalid_model_id_is_rejected(model_id: str, tmp_path: Path) -> None:
    message = problem(tmp_path, LOCAL + MODEL.replace("acme/m1", model_id) + FREE)
    assert "is not a valid model ID. Write author/slug in quotes." in message


@pytest.mark.parametrize("model_id", ["sandbox/echo", "Sandbox/mine"])
def test_model_of_the_author_sandbox_is_rejected(model_id: str, tmp_path: Path) -> None:
    message = problem(tmp_path, LOCAL + MODEL.replace("acme/m1", model_id) + FREE)
    assert "uses the author `sandbox`, which is taken by the built-in models" in message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'provider = "locl"',
            "provider` names a provider that does not exist: `locl`. Did you mean `local`?",
        ),
        (
            'provider = "x"',
            "provider` names a provider that does not exist: `x`. Add a table `[providers.x]`.",
        ),
        ('kind = "image"', "kind` must be `chat` or `embeddings`, not `image`. Example: `kind = "),
        *(
            (f"input_modalities = {modalities}", f"input_modalities{expected}")
            for modalities, expected in (
                (
                    '["text", "images"]',
                    "[1]` must be `text`, `image`, `audio`, `video` or `file`, not `images`. Exam",
                ),
                (
                    '["text", "Image"]',
                    "[1]` must be `text`, `image`, `audio`, `video` or `file`, not `Image`. Examp",
                ),
                (
                    '["embeddings"]',
                    "[0]` must be `text`, `image`, `audio`, `video` or `file`, not `embeddings`. ",
                ),
                ("[5]", "[0]` must be `text`, `image`, `audio`, `video` or `file`, not `5`. Examp"),
                ("[]", '` must not be empty. Example: `input_modalities = ["text'),
            )
        ),
        ("output_modalities = []", "output_modalities` must not be empty. Example: "),
        (
            'output_modalities = ["video"]',
            "output_modalities[0]` must be `text`, `image`, `audio` or `embeddings`, not `video`. ",
        ),
        ("max_output_tokens = 0", "max_output_tokens` must be at least 1, not `0`. Example: `max_"),
        (
            "max_output_tokens = 1000000001",
            "max_output_tokens` must be at most 1000000000, not `1000000001`. Example: ",
        ),
        ("context_length = true", "context_length` must be a whole number, not true or false. "),
        ('max_tokens = "5"', "max_tokens` is not a known field. Did you mean `media_tokens`?"),
        (
            'kind = "embeddings"',
            "max_output_tokens` does not apply: an embeddings model generates no output",
        ),
        ('upstream_model = "a\\nb"', "upstream_model` contains unprintable characters: 'a\\nb'."),
    ],
)
def test_invalid_model_field_is_named_by_its_path(line: str, expected: str, tmp_path: Path) -> None:
    name = line.partition(" ")[0]
    kept = [each for each in MODEL.splitlines() if not each.startswith(f"{name} ")]
    message = problem(tmp_path, "\n".join([LOCAL, *kept, line, FREE]))
    assert message.startswith(f'`models."acme/m1".{expected}')


@pytest.mark.parametrize("name", ["context_length", "max_output_tokens"])
def test_model_is_rejected_without_the_token_counts_for_holds(name: str, tmp_path: Path) -> None:
    kept = [each for each in MODEL.splitlines() if not each.startswith(name)]
    message = problem(tmp_path, "\n".join([LOCAL, *kept, FREE]))
    assert message.startswith(f'`models."acme/m1".{name}` is missing')


@pytest.mark.parametrize("account", ["acme", "user_short", "USER_0000000000000000000000"])
def test_markup_for_an_invalid_account_id_is_rejected(account: str, tmp_path: Path) -> None:
    assert "is not an account ID" in problem(tmp_path, f"[accounts.{account}]\nmarkup_bp = 5\n")


def test_empty_file_offers_nothing(tmp_path: Path) -> None:
    configuration = configured(tmp_path, "")
    assert (configuration.models, configuration.prices, configuration.sandbox) == ((), (), False)
