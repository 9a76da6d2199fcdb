"""Reads credits and makes calls with `generated`, which openapi-python-client wrote."""

import json
import os

from generated import AuthenticatedClient
from generated.api.credits_ import get_credits
from generated.api.inference import create_chat_completion
from generated.models import (
    ChatAnswer,
    ChatMessage,
    ChatRequest,
    ChatRequestMessagesItem,
    CreditsGetCreditsResponse200,
    CreditsMetadata,
    MaxCostMetadata,
    PaymentRequiredResponse,
)

API = os.environ["API"]
MANAGEMENT = AuthenticatedClient(base_url=API, token=os.environ["MANAGEMENT_KEY"])
INFERENCE = AuthenticatedClient(base_url=API, token=os.environ["INFERENCE_KEY"])
REQUEST = ChatRequest(
    model="sandbox/echo",
    messages=[ChatRequestMessagesItem(role="user", content="Hello")],
)

credits_ = get_credits.sync(client=MANAGEMENT, x_model_gates_metadata="enabled")
assert isinstance(credits_, CreditsGetCreditsResponse200)
assert isinstance(credits_.modelgates_metadata, CreditsMetadata)
answer = create_chat_completion.sync(client=INFERENCE, body=REQUEST)
assert isinstance(answer, ChatAnswer)
assert answer.choices
message = answer.choices[0].message
assert isinstance(message, ChatMessage)
refusal = create_chat_completion.sync(
    client=INFERENCE, body=REQUEST, x_model_gates_max_cost="0.000000000001"
)
assert isinstance(refusal, PaymentRequiredResponse)
metadata = refusal.error.metadata
assert isinstance(metadata, MaxCostMetadata)
print(
    json.dumps(
        {
            "credits": credits_.data.total_credits,
            "available": credits_.modelgates_metadata.available,
            "text": message.content,
            "cost": answer.usage.cost,
            "reason": metadata.reason,
        }
    )
)
