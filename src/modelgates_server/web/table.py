"""Every route of the server and which keys may call it. Nothing else is served."""

from modelgates_server.service.keys import KeyRing
from modelgates_server.service.ports import Clock, Store
from modelgates_server.web.api.credits import CreditsApi
from modelgates_server.web.api.keys import KeysApi
from modelgates_server.web.health import Health
from modelgates_server.web.metrics import Metrics
from modelgates_server.web.openapi import BASE_PATH, OpenApi
from modelgates_server.web.operations import ANY_KEY, MANAGEMENT, PUBLIC, READERS, Operation


def operations(
    *, store: Store, keys: KeyRing, clock: Clock, metrics: Metrics, openapi: OpenApi
) -> list[Operation]:
    """The table. The ids are the operation ids of openapi.yaml."""
    credits_api, keys_api, health = CreditsApi(clock), KeysApi(keys, clock), Health(store)
    api = BASE_PATH
    return [
        Operation("get-credits", "GET", f"{api}/credits", READERS, credits_api.get),
        Operation("get-current-key", "GET", f"{api}/key", ANY_KEY, keys_api.current),
        Operation("get-current-key-alias", "GET", f"{api}/auth/key", ANY_KEY, keys_api.current),
        Operation("list-keys", "GET", f"{api}/keys", MANAGEMENT, keys_api.list),
        Operation("create-key", "POST", f"{api}/keys", MANAGEMENT, keys_api.create),
        Operation("delete-key-by-id", "DELETE", f"{api}/keys", MANAGEMENT, keys_api.delete_by_id),
        Operation("get-key", "GET", f"{api}/keys/{{hash}}", MANAGEMENT, keys_api.get),
        Operation("update-key", "PATCH", f"{api}/keys/{{hash}}", MANAGEMENT, keys_api.change),
        Operation("delete-key", "DELETE", f"{api}/keys/{{hash}}", MANAGEMENT, keys_api.delete),
        Operation("get-health", "GET", "/healthz", PUBLIC, health.live),
        Operation("get-readiness", "GET", "/readyz", PUBLIC, health.ready),
        # Its own token, not a key, opens it.
        Operation("get-metrics", "GET", "/metrics", PUBLIC, metrics.show),
        Operation("get-openapi-json", "GET", "/openapi.json", PUBLIC, openapi.show_json),
        Operation("get-openapi-yaml", "GET", "/openapi.yaml", PUBLIC, openapi.show_yaml),
    ]
