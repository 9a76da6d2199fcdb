"""Requests generated from the OpenAPI document, sent to the running server, which must conform.

JSON Schema cannot express every rule for a body (exact to 12 places, in the future, a limit only
for some keys), so a well-formed body can be rejected with a 400. Nothing else can.
"""

from copy import deepcopy
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis.stateful import run_state_machine_as_test

from modelgates_server.core.keys import KEY_HASH, key_hash
from tests.deadlines import DEADLINE_S
from tests.server import Customer, RunningServer, open_customer_now
from tests.web.document import our_document


def with_absolute_paths(document: dict[str, Any]) -> dict[str, Any]:
    """The same document with one base path for all operations, as the generator needs it."""
    changed = deepcopy(document)
    base = urlsplit(changed.pop("servers")[0]["url"]).path
    changed["paths"] = {
        path if item.pop("servers", None) else base + path: item
        for path, item in changed["paths"].items()
    }
    return changed


Case = schemathesis.Case[Any]
VERBS = ("GET", "PATCH", "DELETE")
ACCEPTED = ["2xx", "404", "409"]
CONFIG = schemathesis.Config.from_dict(
    {
        "seed": 1,
        "request-timeout": DEADLINE_S,
        "generation": {
            "deterministic": True,
            "max-examples": 50,
            "with-security-parameters": False,
        },
        "checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}},
        "operations": [
            {
                "include-operation-id": name,
                "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, *more]}},
            }
            # The examples of create-key share one Idempotency-Key, so the second is a 422.
            for name, more in (
                ("create-key", ["400", "422"]),
                ("update-key", ["400"]),
                # The date is too long ago.
                ("get-activity", ["400"]),
                # Unknown model, no text, one Idempotency-Key for two requests.
                ("create-chat-completion", ["400", "402", "422"]),
                ("create-message", ["400", "402", "422"]),
                ("create-response", ["400", "422", "429"]),
                # Counting is limited for each key.
                ("count-message-tokens", ["400", "429"]),
                ("create-completion", ["400", "402", "422"]),
                ("create-embeddings", ["400", "402", "422"]),
            )
        ],
    }
)
schema = schemathesis.openapi.from_dict(with_absolute_paths(our_document()), config=CONFIG)


@pytest.fixture(scope="module")
def session() -> requests.Session:
    return requests.Session()


@pytest.fixture(scope="module")
def spender(server: RunningServer) -> Customer:
    """An account whose inference key no operation of this file disables."""
    return open_customer_now(server.database_path)


@schema.parametrize()
def test_operation_conforms_to_its_description(
    case: Case,
    server: RunningServer,
    owner: Customer,
    spender: Customer,
    session: requests.Session,
) -> None:
    key_hash_in_path = str(case.path_parameters.get("hash", ""))
    if case.method in {"GET", "PATCH"} and KEY_HASH.fullmatch(key_hash_in_path):
        # A key that exists; otherwise no body would ever be read.
        case.path_parameters["hash"] = key_hash(owner.inference)
    kinds = case.operation.definition.raw["x-key-kinds"]
    key = spender.inference if kinds == ["inference"] else owner.management
    headers = {"Authorization": f"Bearer {key}"}
    case.call_and_validate(base_url=server.url, session=session, headers=headers)


def test_sequences_of_operations_conform_to_their_descriptions(
    server: RunningServer, session: requests.Session
) -> None:
    seen = set()

    # Every operation more makes it rarer that a drawn sequence deletes a key that it created.
    keys = schema.include(path_regex="^/api/v1/keys")

    class Workflow(keys.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            # A new account, so that its state depends only on the steps of this run.
            self.owner = open_customer_now(server.database_path)

        def before_call(self, case: Case) -> None:
            case.headers.pop("Idempotency-Key", None)

        def get_call_kwargs(self, _: Case) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {self.owner.management}"}
            return {"base_url": server.url, "session": session, "headers": headers}

        def after_call(self, response: schemathesis.Response, case: Case) -> None:
            seen.add((case.operation.label, response.status_code))

    few = hypothesis.settings(max_examples=150, stateful_step_count=10)
    run_state_machine_as_test(Workflow, settings=few)
    one = "/api/v1/keys/{hash}"
    assert seen >= {("POST /api/v1/keys", 201), *((f"{verb} {one}", 200) for verb in VERBS)}
    assert (f"GET {one}", 404) in seen, "no deleted key was requested"
