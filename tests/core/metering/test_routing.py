from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput, NoEndpoint, PriceNotFound, UnknownModel
from modelgates_server.core.metering.request import Api, InferenceRequest
from modelgates_server.core.metering.routing import ModelChoice, choose_model
from modelgates_server.core.pricing.catalog import Catalog, Model
from modelgates_server.core.pricing.prices import Price
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
    """One model, at a provider called acme."""
    model = calls.model(context_tokens=100_000, markup_bp=markup_bp, **members)
    return Catalog([model], [price])


def route(demand: InferenceRequest, catalog: Catalog | None = None) -> ModelChoice:
    return choose_model(catalog or offered(), demand, calls.ACCOUNT, T0_MS)


def wishing(api: Api = Api.CHAT, **provider: Any) -> InferenceRequest:
    return calls.demand(api, provider=provider)


def refused(demand: InferenceRequest, catalog: Catalog | None = None) -> str:
    with pytest.raises(NoEndpoint) as refusal:
        route(demand, catalog)
    return str(refusal.value)


def invalid(demand: InferenceRequest, catalog: Catalog | None = None) -> str:
    with pytest.raises(InvalidInput) as refusal:
        route(demand, catalog)
    return str(refusal.value)


ALIASED = offered(endpoint=endpoint(aliases=("Acme Cloud", "acme/turbo")))


@pytest.mark.parametrize(
    "provider",
    [
        {},
        {"only": ["acme"]},
        {"only": ["other", "ACME"]},
        {"only": ["acme cloud"]},
        {"only": ["acme-cloud"]},
        {"only": ["acme/turbo"]},
        {"only": []},
        {"only": None, "ignore": None, "order": None, "zdr": None, "max_price": None},
        {"ignore": ["other", "acme2", "cloud"]},
        {"ignore": []},
        {"order": ["other"]},
        {"order": ["other"], "allow_fallbacks": True},
        {"order": ["other", "Acme"], "allow_fallbacks": False},
        {"order": [], "allow_fallbacks": False},
        {"allow_fallbacks": False},
        {"zdr": False, "data_collection": "allow", "require_parameters": False},
        {"sort": "price", "quantizations": ["int4"], "preferred_max_latency": {"p50": 1}},
        {"sort": {"by": "throughput", "partition": None}, "preferred_min_throughput": 50},
        {"options": {}, "enforce_distillable_text": False},
    ],
)
def test_endpoint_that_meets_the_demands_is_taken(provider: dict[str, Any]) -> None:
    assert route(wishing(**provider), ALIASED).model.id == MODEL


@pytest.mark.parametrize(
    ("provider", "says"),
    [
        ({"only": ["other"]}, "provider.only does not name"),
        ({"only": ["acme/fp8"]}, "provider.only does not name"),
        ({"only": ["acm"]}, "provider.only does not name"),
        ({"ignore": ["ACME"]}, "provider.ignore names ACME"),
        ({"ignore": ["Acme Cloud"]}, "provider.ignore names Acme Cloud"),
        ({"ignore": ["acme/fp8"]}, "provider.ignore names acme/fp8"),
        ({"order": ["other"], "allow_fallbacks": False}, "provider.allow_fallbacks is false"),
        ({"only": ["acme"], "ignore": ["acme"]}, "provider.ignore names acme"),
    ],
)
def test_provider_that_the_request_does_not_want_is_refused(
    provider: dict[str, Any], says: str
) -> None:
    told = refused(wishing(**provider), ALIASED)
    assert says in told
    assert "acme/m1 is served by acme alone (also called Acme Cloud, acme/turbo)" in told


@pytest.mark.parametrize(
    ("provider", "name", "setting"),
    [
        ({"zdr": True}, "zdr", "zdr = true"),
        ({"data_collection": "deny"}, "data_collection", 'data_collection = "deny"'),
    ],
)
def test_privacy_is_promised_only_where_the_operator_says_so(
    provider: dict[str, Any], name: str, setting: str
) -> None:
    told = invalid(wishing(**provider))
    assert told.startswith("No endpoints found matching your data policy: provider." + name)
    assert f"{setting} in [providers.acme]" in told
    promised = offered(endpoint=endpoint(zdr=True, denies_data_collection=True))
    assert route(wishing(**provider), promised).model.id == MODEL
    other = offered(endpoint=endpoint(zdr=name != "zdr", denies_data_collection=name == "zdr"))
    assert "cannot be promised" in invalid(wishing(**provider), other)


@pytest.mark.parametrize(
    ("provider", "says"),
    [
        ({"onli": ["a"]}, "provider.onli is not known, so it is not obeyed: did you mean only?"),
        ({"zzz": 1}, "provider.zzz is not known, so it is not obeyed: there are allow_fallbacks, "),
        ({"Only": ["a"]}, "write only instead of Only in provider"),
        ({"max_price": {"promt": 1}}, "provider.max_price.promt is not known, so it is not obeyed"),
        ({"max_price": {"prompt": -1}}, "provider.max_price.prompt of -1 is not an amount"),
        ({"max_price": {"prompt": "NaN"}}, "provider.max_price.prompt of NaN is not an amount"),
        ({"max_price": {"prompt": ""}}, "is not an amount"),
        ({"max_price": {"prompt": True}}, "is not an amount"),
        ({"max_price": {"prompt": {}}}, "is not an amount"),
        ({"max_price": 5}, "provider.max_price must be an object"),
        ({"only": "acme"}, "`provider.only`"),
        ({"only": [1]}, "`provider.only[0]`"),
        ({"zdr": "yes"}, "`provider.zdr`"),
        ({"data_collection": "none"}, "`provider.data_collection`"),
        ({"allow_fallbacks": 0}, "`provider.allow_fallbacks`"),
        ({"enforce_distillable_text": True}, "provider.enforce_distillable_text cannot be obeyed"),
        ({"options": {"acme": {"a": 1}}}, "provider.options cannot be obeyed"),
    ],
)
def test_demand_that_is_not_understood_is_refused_by_name(
    provider: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        wishing(**provider)
    assert says in str(refusal.value)


@pytest.mark.parametrize("provider", ["acme", 1, ["acme"], True])
def test_provider_that_is_no_object_is_refused(provider: object) -> None:
    with pytest.raises(InvalidInput, match="provider does not fit"):
        calls.demand(provider=provider)


@pytest.mark.parametrize(
    ("limit", "is_met"),
    [
        ({"prompt": 1, "completion": 2, "request": 0.01, "image": 0}, True),
        ({"prompt": "1.0", "completion": "2", "request": "1e-2"}, True),
        ({"prompt": 0.999999999}, False),
        ({"prompt": "0.99999999999999999999"}, False),
        ({"completion": 1.9}, False),
        ({"request": "0.0099999"}, False),
        ({"prompt": 0}, False),
    ],
)
def test_max_price_is_compared_with_what_is_charged(limit: dict[str, Any], is_met: bool) -> None:
    demand = wishing(max_price=limit)
    if is_met:
        assert route(demand).model.id == MODEL
    else:
        assert "No endpoints found that satisfy provider.max_price." in refused(demand)


def test_max_price_covers_the_dearest_tier_that_a_prompt_may_reach() -> None:
    long = [{"role": "user", "content": "word " * 1000}]
    most = {"prompt": 3.9, "completion": 7.9}
    demand = calls.demand(messages=long, provider={"max_price": most})
    assert "max_price.prompt of 3.9 dollars: acme/m1 may cost 4." in refused(demand)
    demand = calls.demand(messages=long, provider={"max_price": {"prompt": 4, "completion": 7.9}})
    assert "max_price.completion of 7.9" in refused(demand)
    demand = calls.demand(messages=long, provider={"max_price": {"prompt": 4, "completion": 8}})
    assert route(demand).model.id == MODEL


def test_max_price_covers_the_markup() -> None:
    limit = {"prompt": "1.05", "completion": "2.1"}
    assert route(wishing(max_price=limit), offered(markup_bp=500)).markup_bp == 500
    assert "may cost 1.0501" in refused(wishing(max_price=limit), offered(markup_bp=501))


@example(10**24 - 1, 9_999, -1)
@given(st.integers(1, 10**24), st.integers(-9_999, 10_000), st.integers(-1, 1))
def test_max_price_is_exact_to_the_last_digit(rate: int, markup_bp: int, more: int) -> None:
    """A rate in 1e-24 dollars a token has with its markup at most 22 places for a million."""
    price = calls.flat(input=f"{Decimal(rate).scaleb(-24):f}")
    charged = rate * (10_000 + markup_bp)
    limit = f"{(charged + more) // 10**22}.{(charged + more) % 10**22:022}"
    demand = wishing(max_price={"prompt": limit})
    catalog = offered(price, markup_bp)
    if more < 0:
        assert "max_price.prompt" in refused(demand, catalog)
    else:
        assert route(demand, catalog).price is price


PICTURE = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}
SEES: dict[str, Any] = {"input_modalities": ("text", "image")}


HEARING = calls.flat(input="0.000001", input_audio="0.000001")


def showing(part: dict[str, Any], **members: Any) -> InferenceRequest:
    return calls.demand(messages=[{"role": "user", "content": [part]}], **members)


def test_max_price_of_an_image_covers_its_tokens() -> None:
    catalog = offered(media_tokens=1000, **SEES)
    dear = showing(PICTURE, provider={"max_price": {"image": "0.0009"}})
    assert "max_price.image of 0.0009 dollars: acme/m1 may cost 0.001" in refused(dear, catalog)
    right = showing(PICTURE, provider={"max_price": {"image": "0.001"}})
    assert route(right, catalog).model.id == MODEL
    assert route(wishing(max_price={"image": 0}), catalog).model.id == MODEL


def test_max_price_of_sound_is_refused_where_there_is_sound() -> None:
    hears = offered(HEARING, input_modalities=("text", "audio"))
    sound = {"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}
    told = invalid(showing(sound, provider={"max_price": {"audio": 1}}), hears)
    assert "provider.max_price.audio cannot be obeyed" in told
    assert route(wishing(max_price={"audio": 1}), hears).model.id == MODEL


LISTED = offered(parameters=("temperature", "tools", "tool_choice", "reasoning"))


@pytest.mark.parametrize(
    "members",
    [
        {"temperature": 0, "max_tokens": 5, "stream": True, "user": "u", "top_p": None},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        {"functions": [{"name": "f"}], "reasoning_effort": "low", "metadata": {"a": "b"}},
        {"store": False, "stop": [], "logit_bias": {}},
    ],
)
def test_required_parameters_that_the_model_lists_pass(members: dict[str, Any]) -> None:
    demand = calls.demand(provider={"require_parameters": True}, **members)
    assert route(demand, LISTED).model.id == MODEL


@pytest.mark.parametrize(
    "members", [{"top_p": 0.5}, {"logit_bias": {"1": 1}}, {"n": 2}, {"x_new": 1}, {"stop": ["."]}]
)
def test_required_parameter_that_the_model_does_not_list_is_refused(
    members: dict[str, Any],
) -> None:
    demand = calls.demand(provider={"require_parameters": True}, **members)
    (name,) = members
    assert f"acme/m1 does not list {name} (its parameters: temperature" in refused(demand, LISTED)
    assert "(its parameters: none)" in refused(demand, offered(parameters=()))
    assert route(demand, offered()).model.id == MODEL  # nobody has said what it reads
    assert route(calls.demand(**members), LISTED).model.id == MODEL


@pytest.mark.parametrize(
    ("part", "modality"),
    [
        (PICTURE, "image"),
        ({"type": "image_url", "image_url": "https://a/b.png"}, "image"),
        ({"type": "input_image", "image_url": "https://a"}, "image"),
        ({"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file"),
        ({"type": "document_url", "document_url": "https://a/b.pdf"}, "file"),
        ({"type": "video_url", "video_url": {"url": "https://a"}}, "video"),
    ],
)
def test_part_that_the_model_does_not_read_is_refused(part: dict[str, Any], modality: str) -> None:
    told = invalid(showing(part))
    assert told.startswith(f"No endpoints found that support {modality} input: acme/m1 reads text")
    assert f"the request has {part['type']}" in told
    assert f'its operator adds "{modality}" to input_modalities' in told
    reads = offered(HEARING, input_modalities=("text", modality))
    assert route(showing(part), reads).model.id == MODEL
    others = {"image", "audio", "file", "video"} - {modality}
    invalid(showing(part), offered(input_modalities=("text", *others)))


def test_part_of_a_type_that_nobody_knows_is_refused_where_only_text_is_read() -> None:
    part = {"type": "hologram", "hologram": "x"}
    assert "the request has hologram" in invalid(showing(part))
    assert route(showing(part), offered(**SEES)).model.id == MODEL


@pytest.mark.parametrize("kind", ["text", "refusal", "thinking", "output_text"])
def test_text_always_passes(kind: str) -> None:
    assert route(showing({"type": kind, kind: "x"})).model.id == MODEL


def test_what_the_model_drew_before_comes_back_to_it() -> None:
    messages = [{"role": "assistant", "content": "here", "images": [PICTURE]}, *calls.HI]
    demand = calls.demand(messages=messages)
    assert "the request has images" in invalid(demand)
    draws = offered(output_modalities=("text", "image"))
    assert route(demand, draws).model.id == MODEL


@pytest.mark.parametrize(("api", "name"), [(Api.EMBEDDINGS, "input"), (Api.COMPLETIONS, "prompt")])
def test_object_where_a_text_is_usual_is_refused_by_a_model_of_texts(api: Api, name: str) -> None:
    demand = calls.demand(api, **{name: [{"image": "https://a"}]})
    assert f"the request has an object in {name}" in invalid(demand)
    assert route(demand, offered(**SEES)).model.id == MODEL


def several(*ids: str, **members: Any) -> Catalog:
    models = [replace(calls.model(**members), id=each) for each in ids]
    return Catalog(models, [TIERS])


def test_first_model_that_is_here_is_taken() -> None:
    catalog = several("b/b", "c/c")
    assert route(calls.demand(models=["x/x", "c/c", "b/b"]), catalog).model.id == "c/c"
    assert route(calls.demand(model="b/b", models=["c/c"]), catalog).model.id == "b/b"
    assert route(calls.demand(model=None, models=["b/b"]), catalog).model.id == "b/b"
    with pytest.raises(UnknownModel, match="acme/m1 is not a valid model ID"):
        route(calls.demand(models=["x/x"]), catalog)


def test_model_that_the_operation_cannot_call_is_passed_over() -> None:
    embeds = replace(calls.model(apis=frozenset({Api.EMBEDDINGS})), id="b/embeds")
    catalog = Catalog([embeds, replace(calls.model(), id="c/c")], [TIERS])
    assert route(calls.demand(models=["b/embeds", "c/c"]), catalog).model.id == "c/c"
    with pytest.raises(UnknownModel, match="b/embeds cannot be called at"):
        route(calls.demand(model="b/embeds"), catalog)


def test_model_that_may_not_serve_the_request_is_passed_over() -> None:
    blind: Model = replace(calls.model(), id="b/blind")
    catalog = Catalog([blind, replace(calls.model(**SEES), id="c/sees")], [TIERS])
    assert route(showing(PICTURE, models=["b/blind", "c/sees"]), catalog).model.id == "c/sees"
    only = {"only": ["other"]}
    told = refused(calls.demand(models=["b/blind", "c/sees"], provider=only), catalog)
    assert "b/blind is served by acme alone" in told, "the first is the one that was wanted"


def test_model_without_a_price_is_not_passed_over_for_a_dearer_one() -> None:
    unpriced = replace(calls.model(endpoint=endpoint(id="acme:other")), id="a/unpriced")
    catalog = Catalog([unpriced, calls.model()], [TIERS])
    with pytest.raises(PriceNotFound):
        route(calls.demand(model="a/unpriced", models=[MODEL]), catalog)


def test_model_without_a_price_for_the_request_is_passed_over() -> None:
    fast = calls.price((0, {"input": "1", "output": "1"}), flex={"input": "1", "output": "1"})
    hearing = replace(HEARING, endpoint_id="acme:hears")
    fast = replace(fast, endpoint_id="acme:fast")
    hears = {"input_modalities": ("text", "audio")}
    deaf: Model = replace(calls.model(**hears), id="a/unpriced")
    models = [
        deaf,
        replace(calls.model(endpoint=endpoint(id="acme:fast")), id="b/flex"),
        replace(calls.model(endpoint=endpoint(id="acme:hears"), **hears), id="c/hears"),
    ]
    catalog = Catalog(models, [TIERS, fast, hearing])
    flex = calls.demand(models=["a/unpriced", "b/flex"], service_tier="flex")
    assert route(flex, catalog).model.id == "b/flex"
    sound = {"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}
    heard = showing(sound, models=["a/unpriced", "b/flex", "c/hears"])
    assert route(heard, catalog).model.id == "c/hears"
    only_first = calls.demand(model="a/unpriced", models=None, service_tier="flex")
    assert "'flex' has no price here" in invalid(only_first, catalog)


def test_slug_of_a_provider_means_all_of_its_variants() -> None:
    turbo = offered(endpoint=endpoint(provider="behind", aliases=("deepinfra/turbo",)))
    for only in ("deepinfra", "deepinfra/turbo", "behind"):
        assert route(wishing(only=[only]), turbo).model.id == MODEL
    refused(wishing(only=["deepinfra/fp8"]), turbo)
    assert "provider.ignore names deepinfra" in refused(wishing(ignore=["deepinfra"]), turbo)


def test_rate_of_an_account_counts_in_max_price() -> None:
    catalog = Catalog([calls.model()], [calls.flat(input="0.000001")], {calls.ACCOUNT: 10_000})
    assert "may cost 2." in refused(wishing(max_price={"prompt": 1.5}), catalog)
