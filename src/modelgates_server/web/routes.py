"""Every route of the server and which keys may call it. Nothing else is served."""

from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.docsite.openapi import BASE_PATH
from modelgates_server.service.calls.registry import Generations
from modelgates_server.service.keys import KeyRing
from modelgates_server.service.ports import Clock, Store
from modelgates_server.telemetry.metrics import Metrics
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
from modelgates_server.web.error_responses import Refusals
from modelgates_server.web.keep_alive import KeepAliveRules
from modelgates_server.web.mcp.account import AccountMcp
from modelgates_server.web.mcp.docs import DocsMcp
from modelgates_server.web.pages.docs import DocsApi
from modelgates_server.web.routing import (
    ANY_KEY,
    INFERENCE,
    MANAGEMENT,
    PUBLIC,
    READERS,
    Operation,
)


def operations(
    *,
    store: Store,
    keys: KeyRing,
    generations: Generations,
    catalog: Catalog,
    clock: Clock,
    metrics: Metrics,
    metrics_token: str | None,
    refusals: Refusals,
    openapi: OpenApi,
    docs: DocsApi,
    body_max_bytes: int,
    allow_unknown_key_members: bool,
    keep_alive: KeepAliveRules,
) -> list[Operation]:
    """The table. The ids are the operation ids of openapi.yaml.

    That tells nothing of the documentation and of MCP, which have descriptions of their own.
    """
    inference = InferenceApi(
        generations, refusals, body_max_bytes=body_max_bytes, keep_alive=keep_alive
    )
    described = [
        *_inference(inference),
        *_models(ModelsApi(catalog, clock)),
        *_accounts(store, clock),
        *_keys(KeysApi(keys, clock, allow_unknown=allow_unknown_key_members)),
        *_server(Health(store), MetricsApi(metrics_token, metrics), openapi),
    ]
    account_mcp = AccountMcp(described, keys, metrics, refusals)
    docs_mcp = DocsMcp(docs.site.get, docs.base, clock)
    return [
        *described,
        Operation("account-mcp", "POST", f"{BASE_PATH}/mcp", ANY_KEY, account_mcp.answer),
        Operation("docs-mcp", "POST", "/docs/_mcp/server", PUBLIC, docs_mcp.answer),
        *_docs(docs),
    ]


def _inference(api: InferenceApi) -> list[Operation]:
    return [
        Operation(
            "create-chat-completion", "POST", f"{BASE_PATH}/chat/completions", INFERENCE, api.chat
        ),
        Operation("create-completion", "POST", f"{BASE_PATH}/completions", INFERENCE, api.complete),
        Operation("create-embeddings", "POST", f"{BASE_PATH}/embeddings", INFERENCE, api.embed),
    ]


def _models(api: ModelsApi) -> list[Operation]:
    models = f"{BASE_PATH}/models"
    return [
        Operation("list-models", "GET", models, PUBLIC, api.list),
        Operation("count-models", "GET", f"{models}/count", PUBLIC, api.count),
        Operation("list-user-models", "GET", f"{models}/user", ANY_KEY, api.list_for_caller),
        Operation(
            "list-model-endpoints",
            "GET",
            f"{models}/{{author}}/{{slug:path}}/endpoints",
            PUBLIC,
            api.endpoints,
        ),
        Operation("list-providers", "GET", f"{BASE_PATH}/providers", PUBLIC, api.providers),
    ]


def _accounts(store: Store, clock: Clock) -> list[Operation]:
    credits_api, activity = CreditsApi(clock), ActivityApi(store, clock)
    generations, holds = GenerationsApi(store), HoldsApi(store)
    return [
        Operation("get-credits", "GET", f"{BASE_PATH}/credits", READERS, credits_api.get),
        Operation("list-holds", "GET", f"{BASE_PATH}/credits/holds", READERS, holds.list),
        Operation("get-activity", "GET", f"{BASE_PATH}/activity", READERS, activity.get),
        Operation("get-generation", "GET", f"{BASE_PATH}/generation", ANY_KEY, generations.get),
    ]


def _keys(api: KeysApi) -> list[Operation]:
    keys, one = f"{BASE_PATH}/keys", f"{BASE_PATH}/keys/{{hash}}"
    return [
        Operation("get-current-key", "GET", f"{BASE_PATH}/key", ANY_KEY, api.current),
        Operation("get-current-key-alias", "GET", f"{BASE_PATH}/auth/key", ANY_KEY, api.current),
        Operation("list-keys", "GET", keys, MANAGEMENT, api.list),
        Operation("create-key", "POST", keys, MANAGEMENT, api.create),
        Operation("delete-key-by-id", "DELETE", keys, MANAGEMENT, api.delete_by_id),
        Operation("get-key", "GET", one, MANAGEMENT, api.get),
        Operation("update-key", "PATCH", one, MANAGEMENT, api.change),
        Operation("delete-key", "DELETE", one, MANAGEMENT, api.delete),
    ]


def _server(health: Health, metrics: MetricsApi, openapi: OpenApi) -> list[Operation]:
    return [
        Operation("get-health", "GET", "/healthz", PUBLIC, health.live),
        Operation("get-readiness", "GET", "/readyz", PUBLIC, health.ready),
        # Its own token, not a key, opens it.
        Operation("get-metrics", "GET", "/metrics", PUBLIC, metrics.show),
        Operation("get-openapi-json", "GET", "/openapi.json", PUBLIC, openapi.show_json),
        Operation("get-openapi-yaml", "GET", "/openapi.yaml", PUBLIC, openapi.show_yaml),
    ]


def _docs(api: DocsApi) -> list[Operation]:
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
        Operation("search-docs", "GET", "/docs/search", PUBLIC, api.search),
        Operation("suggest-docs", "GET", "/docs/_search", PUBLIC, api.suggest),
        *(Operation(name, "GET", path, PUBLIC, api.show) for name, path in shown.items()),
    ]
