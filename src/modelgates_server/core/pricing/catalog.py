"""What can be called: models, the endpoint that serves each, and the price in force."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from modelgates_server.core.errors import PriceNotFound, UnknownModel
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.usage import UsageRules


class Api(StrEnum):
    """The inference operations, as generations store them."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


class CapParameter(StrEnum):
    """How an endpoint calls the limit of its output."""

    MAX_TOKENS = "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's offer of a model. `id` is `provider:upstream_model`; prices belong to it.

    `usage_rules` is what is known of how the provider counts.
    `aliases` are other names of the provider that requests may use. `zdr` (it retains no prompts)
    and `denies_data_collection` are what its contract promises, as far as the operator says so.
    `standard_service_tier` is the provider's word for a request that asks for no other tier,
    `dialect` the name of the wire format that is spoken with it.
    """

    id: str
    provider: str
    upstream_model: str
    cap_parameter: CapParameter = CapParameter.MAX_TOKENS
    usage_rules: UsageRules = UsageRules()
    aliases: tuple[str, ...] = ()
    zdr: bool = False
    denies_data_collection: bool = False
    standard_service_tier: str = "default"
    dialect: str = "openai-chat"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What clients name. Token counts are true maxima: holds stand on them.

    `media_tokens` is the most that one image or recording takes, where that is known.
    `default_output_tokens` is the limit that is sent where a client sets none.
    `parameters` are those of requests that it reads; None where that is not said.
    """

    id: str
    name: str
    endpoint: Endpoint
    context_tokens: int
    output_tokens: int
    created_at_s: int
    description: str = ""
    media_tokens: int | None = None
    default_output_tokens: int | None = None
    apis: frozenset[Api] = frozenset({Api.CHAT, Api.COMPLETIONS})
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    parameters: tuple[str, ...] | None = None
    markup_bp: int = 0


class Catalog:
    """Models by id, in order of their ids, with all prices of their endpoints.

    `account_markup_bp` stands over the markup of a model.
    """

    def __init__(
        self,
        models: Iterable[Model],
        prices: Iterable[Price],
        account_markup_bp: Mapping[str, int] | None = None,
    ) -> None:
        self.models = {model.id: model for model in sorted(models, key=lambda model: model.id)}
        self._account_markup_bp = account_markup_bp or {}
        self._prices: dict[str, list[Price]] = {}
        for price in sorted(prices, key=lambda price: (price.from_ms, price.id), reverse=True):
            self._prices.setdefault(price.endpoint_id, []).append(price)

    def model(self, model_id: str, api: Api) -> Model:
        """The model a client names; raises `UnknownModel`, also where this API cannot call it."""
        model = self.models.get(model_id)
        if model is None:
            raise UnknownModel(f"{model_id} is not a valid model ID")
        if api not in model.apis:
            raise UnknownModel(f"{model_id} cannot be called at /{api}")
        return model

    def price(self, endpoint_id: str, at_ms: int) -> Price:
        """The newest price in force; raises `PriceNotFound`: nothing is free by accident."""
        for price in self._prices.get(endpoint_id, ()):
            if price.from_ms <= at_ms:
                return price
        raise PriceNotFound("this model has no price yet; it cannot be called")

    def markup_bp(self, model: Model, account_id: str) -> int:
        """What is added to the price, in hundredths of a percent."""
        return self._account_markup_bp.get(account_id, model.markup_bp)
