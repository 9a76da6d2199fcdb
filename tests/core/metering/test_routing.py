from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput, NoEndpoint, PriceNotFound, UnknownModel
from modelgates_server.core.metering.preferences import MaxPrice, Preferences
from modelgates_server.core.metering.request import OTHER, TEXT, InferenceRequest
from modelgates_server.core.metering.routing import ModelChoice, choose_model
from modelgates_server.core.pricing.catalog import Api, Catalog, Model
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.usage import Meter
from tests.core import calls
from tests.support import T0_MS

replace = calls.replace
MODEL = calls.MODEL
TIERS = calls.price(
    (0, {"input": "0.000001", "output": "0.000002", "request": "0.01"}),
    (2000, {"input": "0.000004", "output": "0.000002", "reasoning": "0.000008"}),
)


def endpoint(**members: Any) -> Any:
    return replace(calls.endpoint(), **members)


def offered(price: Price = TIERS, markup_bp: int = 0, **members: Any) -> Catalog:
    """A catalog with one model, at the provider `acme`."""
    model = calls.model(context_tokens=100_000, markup_bp=markup_bp, **members)
    return Catalog([model], [price])


def route(request: InferenceRequest, catalog: Catalog | None = None) -> ModelChoice:
    return choose_model(catalog or offered(), request, calls.ACCOUNT, T0_MS)


def preferring(max_price: dict[str, str] | None = None, **members: Any) -> dict[str, Any]:
    limits = MaxPrice(**{name: Decimal(amount) for name, amount in (max_price or {}).items()})
    return {"preferences": Preferences(max_price=limits, **members)}


def requesting(max_price: dict[str, str] | None = None, **members: Any) -> InferenceRequest:
    return calls.request(**preferring(max_price, **members))


def refused(request: InferenceRequest, catalog: Catalog | None = None) -> str:
    with pytest.raises(NoEndpoint) as refusal:
        route(request, catalog)
    return str(refusal.value)


def invalid(request: InferenceRequest, catalog: Catalog | None = None) -> str:
    with pytest.raises(InvalidInput) as refusal:
        route(request, catalog)
    return str(refusal.value)


ALIASED = offered(endpoint=endpoint(aliases=("Acme Cloud", "acme/turbo")))


@pytest.mark.parametrize(
    "provider",
    [
        {},
        {"only": ("acme",)},
        {"only": ("other", "ACME")},
        {"only": ("acme cloud",)},
        {"only": ("acme-cloud",)},
        {"only": ("acme/turbo",)},
        {"only": ()},
        {"ignore": ("other", "acme2", "cloud")},
        {"ignore": ()},
        {"order": ("other",)},
        {"order": ("other",), "allow_fallbacks": True},
        {"order": ("other", "Acme"), "allow_fallbacks": False},
        {"order": (), "allow_fallbacks": False},
        {"allow_fallbacks": False},
        {"zdr": False, "data_collection": "allow", "require_parameters": False},
    ],
)
def test_endpoint_is_chosen_when_it_meets_the_requirements(provider: dict[str, Any]) -> None:
    assert route(requesting(**provider), ALIASED).model.id == MODEL


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ({"only": ("other",)}, "`provider.only` does not list it"),
        ({"only": ("acme/fp8",)}, "`provider.only` does not list it"),
        ({"only": ("acm",)}, "`provider.only` does not list it"),
        ({"ignore": ("ACME",)}, "`provider.ignore` lists `ACME`"),
        ({"ignore": ("Acme Cloud",)}, "`provider.ignore` lists `Acme Cloud`"),
        ({"ignore": ("acme/fp8",)}, "`provider.ignore` lists `acme/fp8`"),
        ({"order": ("other",), "allow_fallbacks": False}, "`provider.allow_fallbacks` is false"),
        ({"only": ("acme",), "ignore": ("acme",)}, "`provider.ignore` lists `acme`"),
    ],
)
def test_provider_that_the_request_excludes_is_refused(
    provider: dict[str, Any], expected: str
) -> None:
    message = refused(requesting(**provider), ALIASED)
    assert expected in message
    assert "only acme serves acme/m1 (also called Acme Cloud, acme/turbo)" in message


@pytest.mark.parametrize(
    ("provider", "name", "setting", "promise"),
    [
        ({"zdr": True}, "zdr", "zdr = true", "for zero data retention"),
        (
            {"data_collection": "deny"},
            "data_collection",
            'data_collection = "deny"',
            "to deny data collection",
        ),
    ],
)
def test_privacy_requirement_is_refused_unless_the_operator_configured_it(
    provider: dict[str, Any], name: str, setting: str, promise: str
) -> None:
    message = invalid(requesting(**provider))
    assert message.startswith(
        f"No endpoints found matching your data policy: acme is not configured {promise}, which "
        f"`provider.{name}` requires. "
    )
    assert f"`{setting}` in `[providers.acme]`" in message
    promised = offered(endpoint=endpoint(zdr=True, denies_data_collection=True))
    assert route(requesting(**provider), promised).model.id == MODEL
    other = offered(endpoint=endpoint(zdr=name != "zdr", denies_data_collection=name == "zdr"))
    assert f"is not configured {promise}" in invalid(requesting(**provider), other)


@pytest.mark.parametrize(
    ("limit", "is_met"),
    [
        ({"prompt": "1", "completion": "2", "request": "0.01", "image": "0"}, True),
        ({"prompt": "0.99999999999999999999"}, False),
        ({"completion": "1.9"}, False),
        ({"request": "0.0099999"}, False),
        ({"prompt": "0"}, False),
    ],
)
def test_max_price_is_compared_with_the_charged_price(limit: dict[str, str], is_met: bool) -> None:
    request = requesting(max_price=limit)
    if is_met:
        assert route(request).model.id == MODEL
    else:
        assert "No endpoints found that satisfy `provider.max_price." in refused(request)


def test_max_price_covers_the_most_expensive_tier_that_a_prompt_may_reach() -> None:
    def long(**max_price: str) -> InferenceRequest:
        return calls.request(text_bytes=5000, **preferring(max_price))

    message = refused(long(prompt="3.9", completion="7.9"))
    assert "max_price.prompt` of 3.9 US dollars per million tokens: acme/m1 can cost 4." in message
    assert "max_price.completion` of 7.9" in refused(long(prompt="4", completion="7.9"))
    assert route(long(prompt="4", completion="8")).model.id == MODEL


def test_max_price_covers_the_markup() -> None:
    limit = {"prompt": "1.05", "completion": "2.1"}
    assert route(requesting(max_price=limit), offered(markup_bp=500)).markup_bp == 500
    assert "can cost 1.0501" in refused(requesting(max_price=limit), offered(markup_bp=501))


@example(10**24 - 1, 9_999, -1)
@given(st.integers(1, 10**24), st.integers(-9_999, 10_000), st.integers(-1, 1))
def test_max_price_is_exact_to_the_last_digit(rate: int, markup_bp: int, more: int) -> None:
    """The price of a million tokens has at most 22 places if the rate has 24, markup included."""
    price = calls.flat(input=f"{Decimal(rate).scaleb(-24):f}")
    charged = rate * (10_000 + markup_bp)
    limit = f"{(charged + more) // 10**22}.{(charged + more) % 10**22:022}"
    request = requesting(max_price={"prompt": limit})
    catalog = offered(price, markup_bp)
    if more < 0:
        assert "max_price.prompt" in refused(request, catalog)
    else:
        assert route(request, catalog).price is price


READS_IMAGES: dict[str, Any] = {"input_modalities": ("text", "image")}
AUDIO_PRICE = calls.flat(input="0.000001", input_audio="0.000001")


def with_part(kind: str, modality: str, **members: Any) -> InferenceRequest:
    """A request with one part that is not text."""
    unlike_text = frozenset({Meter.INPUT_AUDIO} if modality == "audio" else ())
    return calls.request(media=1, parts={kind: modality}, unlike_text=unlike_text, **members)


def with_image(**members: Any) -> InferenceRequest:
    return with_part("image_url", "image", **members)


def test_max_price_of_an_image_covers_its_tokens() -> None:
    catalog = offered(media_tokens=1000, **READS_IMAGES)
    expensive = with_image(**preferring({"image": "0.0009"}))
    assert "max_price.image` of 0.0009 US dollars per image: acme/m1 can cost 0.001" in refused(
        expensive, catalog
    )
    right = with_image(**preferring({"image": "0.001"}))
    assert route(right, catalog).model.id == MODEL
    assert route(requesting(max_price={"image": "0"}), catalog).model.id == MODEL


def test_max_price_of_audio_is_refused_when_the_request_has_audio() -> None:
    hears = offered(AUDIO_PRICE, input_modalities=("text", "audio"))
    limit = {"audio": "1"}
    message = invalid(with_part("input_audio", "audio", **preferring(limit)), hears)
    assert "`provider.max_price.audio` is not supported" in message
    assert route(requesting(max_price=limit), hears).model.id == MODEL


LISTED = offered(parameters=("temperature", "tools", "tool_choice", "reasoning"))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"temperature": "temperature", "tools": "tools"},
        {"functions": "tools", "reasoning_effort": "reasoning"},
    ],
)
def test_required_parameters_are_accepted_when_the_model_lists_them(
    parameters: dict[str, str],
) -> None:
    request = calls.request(parameters=parameters, **preferring(require_parameters=True))
    assert route(request, LISTED).model.id == MODEL


def test_required_parameter_is_accepted_when_the_model_lists_its_older_name() -> None:
    older = offered(parameters=("functions",))
    request = calls.request(
        parameters={"functions": "tools"}, **preferring(require_parameters=True)
    )
    assert route(request, older).model.id == MODEL


def test_required_parameter_is_refused_when_the_model_does_not_list_it() -> None:
    parameters = {"temperature": "temperature", "top_p": "top_p"}
    request = calls.request(parameters=parameters, **preferring(require_parameters=True))
    assert "acme/m1 does not list `top_p` (its parameters: temperature" in refused(request, LISTED)
    assert "does not list `temperature` (its parameters: none)" in refused(
        request, offered(parameters=())
    )
    assert route(request, offered()).model.id == MODEL  # its parameters are not configured
    assert route(calls.request(parameters=parameters), LISTED).model.id == MODEL


@pytest.mark.parametrize("modality", ["image", "audio", "file", "video"])
def test_part_is_refused_when_the_model_does_not_read_its_modality(modality: str) -> None:
    request = with_part("some_part", modality)
    message = invalid(request)
    assert message.startswith(
        f"No endpoints found that support {modality} input: acme/m1 accepts text"
    )
    assert "the request has `some_part`" in message
    assert f'add "{modality}" to the model\'s `input_modalities`' in message
    reads = offered(AUDIO_PRICE, input_modalities=("text", modality))
    assert route(request, reads).model.id == MODEL
    others = {"image", "audio", "file", "video"} - {modality}
    invalid(request, offered(input_modalities=("text", *others)))


def test_part_of_unknown_type_is_refused_when_the_model_reads_only_text() -> None:
    request = with_part("hologram", OTHER)
    assert "the request has `hologram`" in invalid(request)
    assert route(request, offered(**READS_IMAGES)).model.id == MODEL


def test_text_part_is_always_accepted() -> None:
    assert route(with_part("thinking", TEXT)).model.id == MODEL


def test_image_of_an_earlier_response_is_accepted_when_the_model_makes_images() -> None:
    drawn = with_part("images", "image", returned_parts=frozenset({"images"}))
    draws = offered(output_modalities=("text", "image"))
    assert "the request has `images`" in invalid(drawn)
    assert route(drawn, draws).model.id == MODEL
    assert "the request has `image_url`" in invalid(with_image(), draws)


def test_max_price_covers_cache_writes_when_the_request_has_them() -> None:
    price = calls.flat(input="0.000001", cache_read="0", cache_write_1h="0.000002")
    limit = preferring({"prompt": "1.5"})
    caching = calls.request(asks_for_caches=True, **limit)
    assert "max_price.prompt` of 1.5 US dollars per million tokens: acme/m1 can cost 2." in refused(
        caching, offered(price)
    )
    assert route(calls.request(**limit), offered(price)).model.id == MODEL


def test_max_price_of_a_completion_is_met_without_output() -> None:
    limit = preferring({"completion": "0"})
    assert route(calls.request(Api.EMBEDDINGS, **limit)).model.id == MODEL
    refused(calls.request(**limit))


def catalog_of(*ids: str, **members: Any) -> Catalog:
    models = [replace(calls.model(**members), id=each) for each in ids]
    return Catalog(models, [TIERS])


def test_first_model_that_exists_is_chosen() -> None:
    catalog = catalog_of("b/b", "c/c")
    assert route(calls.request(models=(MODEL, "x/x", "c/c", "b/b")), catalog).model.id == "c/c"
    assert route(calls.request(models=("b/b", "c/c")), catalog).model.id == "b/b"
    with pytest.raises(UnknownModel, match="acme/m1 is not a valid model ID"):
        route(calls.request(models=(MODEL, "x/x")), catalog)


def test_model_is_skipped_when_it_lacks_the_api() -> None:
    embeds = replace(calls.model(apis=frozenset({Api.EMBEDDINGS})), id="b/embeds")
    catalog = Catalog([embeds, replace(calls.model(), id="c/c")], [TIERS])
    assert route(calls.request(models=("b/embeds", "c/c")), catalog).model.id == "c/c"
    with pytest.raises(UnknownModel, match="b/embeds cannot be called at"):
        route(calls.request(models=("b/embeds",)), catalog)


def test_model_is_skipped_when_it_may_not_serve_the_request() -> None:
    blind: Model = replace(calls.model(), id="b/blind")
    catalog = Catalog([blind, replace(calls.model(**READS_IMAGES), id="c/sees")], [TIERS])
    assert route(with_image(models=("b/blind", "c/sees")), catalog).model.id == "c/sees"
    only = preferring(only=("other",))
    message = refused(calls.request(models=("b/blind", "c/sees"), **only), catalog)
    assert "only acme serves b/blind" in message, "the first model is the preferred one"


def test_model_without_a_price_is_not_skipped_for_a_more_expensive_one() -> None:
    unpriced = replace(calls.model(endpoint=endpoint(id="acme:other")), id="a/unpriced")
    catalog = Catalog([unpriced, calls.model()], [TIERS])
    with pytest.raises(PriceNotFound):
        route(calls.request(models=("a/unpriced", MODEL)), catalog)


def test_model_is_skipped_when_it_has_no_price_for_the_request() -> None:
    fast = calls.price((0, {"input": "1", "output": "1"}), flex={"input": "1", "output": "1"})
    hearing = replace(AUDIO_PRICE, endpoint_id="acme:hears")
    fast = replace(fast, endpoint_id="acme:fast")
    hears = {"input_modalities": ("text", "audio")}
    deaf: Model = replace(calls.model(**hears), id="a/unpriced")
    models = [
        deaf,
        replace(calls.model(endpoint=endpoint(id="acme:fast")), id="b/flex"),
        replace(calls.model(endpoint=endpoint(id="acme:hears"), **hears), id="c/hears"),
    ]
    catalog = Catalog(models, [TIERS, fast, hearing])
    flex = calls.request(models=("a/unpriced", "b/flex"), service_tier="flex")
    assert route(flex, catalog).model.id == "b/flex"
    models_named = ("a/unpriced", "b/flex", "c/hears")
    heard = with_part("input_audio", "audio", models=models_named)
    assert route(heard, catalog).model.id == "c/hears"
    only_first = calls.request(models=("a/unpriced",), service_tier="flex")
    assert "'flex' has no price here" in invalid(only_first, catalog)


def test_slug_of_a_provider_includes_all_of_its_variants() -> None:
    turbo = offered(endpoint=endpoint(provider="behind", aliases=("deepinfra/turbo",)))
    for only in ("deepinfra", "deepinfra/turbo", "behind"):
        assert route(requesting(only=(only,)), turbo).model.id == MODEL
    refused(requesting(only=("deepinfra/fp8",)), turbo)
    assert "`provider.ignore` lists `deepinfra`" in refused(
        requesting(ignore=("deepinfra",)), turbo
    )


def test_max_price_covers_the_markup_of_the_account() -> None:
    catalog = Catalog([calls.model()], [calls.flat(input="0.000001")], {calls.ACCOUNT: 10_000})
    assert "can cost 2." in refused(requesting(max_price={"prompt": "1.5"}), catalog)
