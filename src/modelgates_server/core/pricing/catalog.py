"""The catalog: models, the endpoint that serves each, and the price in force."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from modelgates_server.core.errors import PriceNotFound, UnknownModel
from modelgates_server.core.pricing.model_names import advice
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.usage import UsageRules


class Api(StrEnum):
    """The inference APIs, under the names that generations store."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    RESPONSES = "responses"


CONVERSATIONS = frozenset({Api.CHAT, Api.MESSAGES, Api.RESPONSES})
"""The APIs that any model for conversations has: one is translated into another."""


class CapParameter(StrEnum):
    """An endpoint's name for the parameter that limits output tokens."""

    MAX_TOKENS = "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's offer of a model. `id` is `provider:upstream_model`; prices belong to it.

    `usage_rules` describe how the provider counts tokens. `aliases` are other names of the provider
    that requests may use. `zdr` (no retention of prompts) and `denies_data_collection` are promises
    of the provider's contract, as configured by the operator. `standard_service_tier` is the
    provider's name for the standard tier. `dialects` names the wire formats that the endpoint
    speaks, the preferred one first. `profile` names what is known of the provider's request
    parameters.

    The output limit is sent as `cap_parameter`. With `keeps_cap_name`, that is only so where the
    client sends none; its own name is kept otherwise. Without `stream_options`, the endpoint is
    never sent the parameter of this name, and streams may end without usage.
    """

    id: str
    provider: str
    upstream_model: str
    cap_parameter: CapParameter = CapParameter.MAX_TOKENS
    keeps_cap_name: bool = False
    stream_options: bool = True
    profile: str = "compatible"
    usage_rules: UsageRules = UsageRules()
    aliases: tuple[str, ...] = ()
    zdr: bool = False
    denies_data_collection: bool = False
    standard_service_tier: str = "default"
    dialects: tuple[str, ...] = ("openai-chat",)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model under the id that clients use. Its token counts are true maxima: holds rely on them.

    `media_tokens` is the most tokens that one image or recording takes, if that is known.
    `default_output_tokens` is the limit that is sent if a client sets none. `parameters` are the
    request parameters that the model supports; None if they are not configured.
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
    apis: frozenset[Api] = CONVERSATIONS | {Api.COMPLETIONS}
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    parameters: tuple[str, ...] | None = None
    markup_bp: int = 0


class Catalog:
    """All models, sorted by id, with all prices of their endpoints.

    `account_markup_bp` overrides the markup of a model.
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

    def model(self, model_id: str, api: Api, at_ms: int) -> Model:
        """Returns a model by id; raises `UnknownModel` if it does not exist or lacks the API.

        The error suggests models that can be called at this time.
        """
        model = self.models.get(model_id)
        if model is None:
            hint = advice(model_id, self.callable_ids(at_ms, api))
            # OpenRouter's text, which clients match on, and then what to use instead.
            raise UnknownModel(f"{model_id} is not a valid model ID{hint and f'. {hint}'}")
        if api not in model.apis:
            raise UnknownModel(
                f"{model_id} cannot be called at /{api}. Choose another model; "
                f"this one is for {', '.join(f'/{each}' for each in sorted(model.apis))}."
            )
        return model

    def offers(self, model_id: str, api: Api) -> bool:
        """Whether a model exists and has the API."""
        model = self.models.get(model_id)
        return model is not None and api in model.apis

    def callable_ids(self, at_ms: int, api: Api | None = None) -> list[str]:
        """The ids of the models that have a price in force, and the API if one is given."""
        return [
            model.id
            for model in self.models.values()
            if (api is None or api in model.apis)
            and any(price.from_ms <= at_ms for price in self._prices.get(model.endpoint.id, ()))
        ]

    def price(self, endpoint_id: str, at_ms: int) -> Price:
        """Returns the newest price in force; raises `PriceNotFound`. No price means no call."""
        for price in self._prices.get(endpoint_id, ()):
            if price.from_ms <= at_ms:
                return price
        raise PriceNotFound(
            "This model has no price in force, so it cannot be called. "
            "Choose another model, or ask the operator of this server to add the price."
        )

    def markup_bp(self, model: Model, account_id: str) -> int:
        """Returns the markup on the price of a model, in hundredths of a percent."""
        return self._account_markup_bp.get(account_id, model.markup_bp)
