"""Every route of the server, and the keys that may call it. Nothing else is served."""

from collections.abc import Iterable
from dataclasses import replace

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.dialect import ANTHROPIC
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.dialects.openai_responses.dialect import OPENAI_RESPONSES
from modelgates_server.docsite.openapi import BASE_PATH
from modelgates_server.service.ports import Clock, Store
from modelgates_server.web.api.activity import ActivityApi
from modelgates_server.web.api.credits import CreditsApi
from modelgates_server.web.api.generations import GenerationsApi
from modelgates_server.web.api.health import Health
from modelgates_server.web.api.holds import HoldsApi
from modelgates_server.web.api.inference import InferenceApi
from modelgates_server.web.api.keys import KeysApi
from modelgates_server.web.api.metrics import MetricsApi
from modelgates_server.web.api.models import ModelsApi
from modelgates_server.web.api.openapi import OpenApi
from modelgates_server.web.api.token_counts import TokenCountsApi
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.long_lists import LongLists
from modelgates_server.web.mcp.account import AccountMcp
from modelgates_server.web.mcp.docs import DocsMcp
from modelgates_server.web.pages.docs import DocsApi
from modelgates_server.web.pages.negotiation import KnownHosts
from modelgates_server.web.routing import ANY_KEY, INFERENCE, MANAGEMENT, PUBLIC, READERS, Route
from modelgates_server.web.services import Services, WebOptions

_MODEL = "{author}/{slug:path}"

V1_PATH = "/v1"
"""Where clients look that complete the address of a host by themselves, as for OpenAI's API."""


def routes(services: Services, options: WebOptions, error_responses: ErrorResponses) -> list[Route]:
    """The table of routes. The ids are the operation ids of openapi.yaml.

    That document does not contain the documentation and MCP, which describe themselves.
    """
    store, keys, clock = services.store, services.keys, services.clock
    hosts = KnownHosts(options.public_url, options.allowed_hosts)
    docs, lists = DocsApi(hosts, services.catalog), LongLists()
    inference = InferenceApi(
        services.calls,
        body_max_bytes=options.body_max_bytes,
        keep_alive=options.keep_alive,
        allowed_betas=options.allowed_betas,
    )
    described = [
        *_inference(inference),
        Route(
            "count-message-tokens",
            "POST",
            f"{BASE_PATH}/messages/count_tokens",
            INFERENCE,
            TokenCountsApi(
                services.token_counts,
                clock,
                body_max_bytes=options.body_max_bytes,
                allowed_betas=options.allowed_betas,
            ).count,
            ANTHROPIC,
        ),
        *_models(ModelsApi(services.catalog, clock)),
        *_accounts(store, clock, lists),
        *_keys(KeysApi(keys, clock, lists, allow_unknown=options.allow_unknown_key_members)),
        *_server(
            Health(store, services.parts),
            MetricsApi(options.metrics_token, services.metrics),
            OpenApi(hosts),
        ),
    ]
    account_mcp = AccountMcp(described, keys, error_responses)
    docs_mcp = DocsMcp(docs.site.get, docs.base, clock)
    everything = [
        *described,
        Route("account-mcp", "POST", f"{BASE_PATH}/mcp", ANY_KEY, account_mcp.answer),
        Route("docs-mcp", "POST", "/docs/_mcp/server", PUBLIC, docs_mcp.answer),
        *_docs(docs),
    ]
    return _with_aliases(everything) if options.v1_alias else everything


def _with_aliases(everything: Iterable[Route]) -> list[Route]:
    """The routes of the API, also below /v1."""
    return [
        replace(route, alias=V1_PATH + route.path.removeprefix(BASE_PATH))
        if route.path.startswith(f"{BASE_PATH}/")
        else route
        for route in everything
    ]


def _inference(api: InferenceApi) -> list[Route]:
    operations = {
        "create-chat-completion": (Api.CHAT, OPENAI_CHAT),
        "create-message": (Api.MESSAGES, ANTHROPIC),
        "create-response": (Api.RESPONSES, OPENAI_RESPONSES),
        "create-completion": (Api.COMPLETIONS, OPENAI_CHAT),
        "create-embeddings": (Api.EMBEDDINGS, OPENAI_CHAT),
    }
    return [
        Route(name, "POST", f"{BASE_PATH}/{each}", INFERENCE, api.operation(each), dialect)
        for name, (each, dialect) in operations.items()
    ]


def _models(api: ModelsApi) -> list[Route]:
    models = f"{BASE_PATH}/models"
    return [
        Route("list-models", "GET", models, PUBLIC, api.list),
        Route("count-models", "GET", f"{models}/count", PUBLIC, api.count),
        Route("list-user-models", "GET", f"{models}/user", ANY_KEY, api.list_for_caller),
        Route(
            "list-embedding-models",
            "GET",
            f"{BASE_PATH}/embeddings/models",
            PUBLIC,
            api.list_embedding,
        ),
        # Before `get-model`, whose slug may contain slashes.
        Route("list-model-endpoints", "GET", f"{models}/{_MODEL}/endpoints", PUBLIC, api.endpoints),
        Route("get-model", "GET", f"{models}/{_MODEL}", PUBLIC, api.get),
        Route("get-model-alias", "GET", f"{BASE_PATH}/model/{_MODEL}", PUBLIC, api.get),
        Route("list-providers", "GET", f"{BASE_PATH}/providers", PUBLIC, api.providers),
    ]


def _accounts(store: Store, clock: Clock, lists: LongLists) -> list[Route]:
    credits_api, activity = CreditsApi(clock), ActivityApi(store, clock, lists)
    generations, holds = GenerationsApi(store), HoldsApi(store, lists)
    return [
        Route("get-credits", "GET", f"{BASE_PATH}/credits", READERS, credits_api.get),
        Route("list-holds", "GET", f"{BASE_PATH}/credits/holds", READERS, holds.list),
        Route(
            "create-coinbase-charge",
            "POST",
            f"{BASE_PATH}/credits/coinbase",
            PUBLIC,
            credits_api.coinbase,
        ),
        Route("get-activity", "GET", f"{BASE_PATH}/activity", READERS, activity.get),
        Route("get-generation", "GET", f"{BASE_PATH}/generation", ANY_KEY, generations.get),
    ]


def _keys(api: KeysApi) -> list[Route]:
    keys, key = f"{BASE_PATH}/keys", f"{BASE_PATH}/keys/{{hash}}"
    return [
        Route("get-current-key", "GET", f"{BASE_PATH}/key", ANY_KEY, api.current),
        Route("get-current-key-alias", "GET", f"{BASE_PATH}/auth/key", ANY_KEY, api.current),
        Route("list-keys", "GET", keys, MANAGEMENT, api.list),
        Route("create-key", "POST", keys, MANAGEMENT, api.create),
        Route("delete-key-by-id", "DELETE", keys, MANAGEMENT, api.delete_by_id),
        Route("get-key", "GET", key, MANAGEMENT, api.get),
        Route("update-key", "PATCH", key, MANAGEMENT, api.change),
        Route("delete-key", "DELETE", key, MANAGEMENT, api.delete),
    ]


def _server(health: Health, metrics: MetricsApi, openapi: OpenApi) -> list[Route]:
    return [
        Route("get-health", "GET", "/healthz", PUBLIC, health.live),
        Route("get-readiness", "GET", "/readyz", PUBLIC, health.ready),
        # Protected by a separate token, not by a key.
        Route("get-metrics", "GET", "/metrics", PUBLIC, metrics.show, is_cross_origin=False),
        Route("get-openapi-json", "GET", "/openapi.json", PUBLIC, openapi.show_json),
        Route("get-openapi-yaml", "GET", "/openapi.yaml", PUBLIC, openapi.show_yaml),
    ]


def _docs(api: DocsApi) -> list[Route]:
    shown = {
        "get-docs": "/docs",
        "get-docs-markdown": "/docs.md",
        "get-docs-mdx": "/docs.mdx",
        "get-llms": "/llms.txt",
        "get-llms-full": "/llms-full.txt",
        "get-robots": "/robots.txt",
        "get-api-catalog": "/.well-known/api-catalog",
        "get-docs-page": "/docs/{path:path}",
    }
    return [
        # "/", as a slash at the end makes no difference.
        Route("get-root", "GET", "", PUBLIC, api.lead),
        Route("search-docs", "GET", "/docs/search", PUBLIC, api.search),
        Route("suggest-docs", "GET", "/docs/_search", PUBLIC, api.suggest),
        *(Route(name, "GET", path, PUBLIC, api.show) for name, path in shown.items()),
    ]
