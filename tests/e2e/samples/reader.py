"""A reader who copies samples and puts in their own keys and ids."""

from typing import Any

import httpx

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.model_names import with_offered_models
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.samples.request import API_KEY, request_of
from tests.gateway import sandbox_catalog
from tests.server import RunningServer, open_customer_now

METRICS_TOKEN = "token-of-the-metrics-0123456789"
DOCUMENT = with_offered_models(document_at(ORIGIN), sandbox_catalog())
OPERATIONS = {
    operation["operationId"]: (path, method)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if isinstance(operation, dict) and "operationId" in operation
}
HASH = DOCUMENT["paths"]["/keys/{hash}"]["parameters"][0]["example"]
GENERATION = DOCUMENT["paths"]["/generation"]["get"]["parameters"][0]["example"]


class Reader:
    """An account with keys, an earlier call, and three keys to manage."""

    def __init__(self, server: RunningServer, http: httpx.Client) -> None:
        self.server = server
        self.customer = open_customer_now(server.database_path)
        self.http = http
        self.hashes = [self.new_key() for _ in range(3)]
        self.generation = self.call()

    @property
    def keys(self) -> dict[str, str]:
        """The environment that the filled samples read their keys from."""
        kinds = ("management", "inference", "viewer")
        keys = {_variable(kind): str(getattr(self.customer, kind)) for kind in kinds}
        return {**keys, "MODELGATES_METRICS_TOKEN": METRICS_TOKEN}

    def new_key(self) -> str:
        answer = self.http.post(
            f"{self.server.api}/keys",
            json={"name": "a key"},
            headers={"Authorization": f"Bearer {self.customer.management}"},
        )
        key_hash: str = answer.json()["data"]["hash"]
        return key_hash

    def call(self) -> str:
        answer = self.http.post(
            f"{self.server.api}/chat/completions",
            json={"model": "sandbox/echo", "messages": [{"role": "user", "content": "Hello"}]},
            headers={"Authorization": f"Bearer {self.customer.inference}"},
        )
        generation_id: str = answer.json()["id"]
        return generation_id

    def fill(self, text: str, operation_id: str) -> str:
        """Text of the documentation with the reader's server, ids and variable of a fitting key."""
        own = {"delete-key": self.hashes[1], "delete-key-by-id": self.hashes[2]}
        for example, real in (
            (ORIGIN, self.server.url),
            (API_KEY, _variable(self.kind(operation_id))),
            (HASH, own.get(operation_id, self.hashes[0])),
            (GENERATION, self.generation),
        ):
            text = text.replace(example, real)
        return text

    def kind(self, operation_id: str) -> str:
        """A kind of key that the operation takes, or an empty string."""
        path, method = OPERATIONS[operation_id]
        return str(next(iter(DOCUMENT["paths"][path][method]["x-key-kinds"]), ""))

    def ask(self, operation_id: str) -> httpx.Response:
        """The response of the API itself."""
        request = request_of(DOCUMENT, *OPERATIONS[operation_id])
        headers = {name: self.fill(text, operation_id) for name, text in request.headers.items()}
        if request.token:
            token = self.keys[self.fill(request.token, operation_id)]
            headers["Authorization"] = f"Bearer {token}"
        return self.http.request(
            request.method, self.fill(request.full_url, operation_id), headers=headers
        )

    def find_key(self, of: str) -> httpx.Response:
        """A key by its hash."""
        headers = {"Authorization": f"Bearer {self.customer.management}"}
        return self.http.get(f"{self.server.api}/keys/{of}", headers=headers)

    def cost(self, generation_id: str) -> Any:
        """The cost of a call, by its receipt."""
        headers = {"Authorization": f"Bearer {self.customer.viewer}"}
        answer = self.http.get(f"{self.server.api}/generation?id={generation_id}", headers=headers)
        return answer.json()["data"]["total_cost"]


def _variable(kind: str) -> str:
    return f"{kind.upper()}_KEY"
