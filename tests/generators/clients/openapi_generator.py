"""Reads credits and makes calls with `openapi_client`, the package that OpenAPI Generator wrote."""

import json
import os

from openapi_client import ApiClient, Configuration, CreditsApi, InferenceApi
from openapi_client.exceptions import ApiException
from openapi_client.models import (
    ChatRequest,
    ChatRequestMessagesInner,
    ChatRequestMessagesInnerContent,
    MaxCostMetadata,
    PaymentRequiredResponse,
)

# The client uses the server of the document by default.
MANAGEMENT = ApiClient(Configuration(access_token=os.environ["MANAGEMENT_KEY"]))
INFERENCE = ApiClient(Configuration(access_token=os.environ["INFERENCE_KEY"]))
MESSAGE = ChatRequestMessagesInner(role="user", content=ChatRequestMessagesInnerContent("Hello"))
REQUEST = ChatRequest(model="sandbox/echo", messages=[MESSAGE])

credits_ = CreditsApi(MANAGEMENT).get_credits(x_model_gates_metadata="enabled")
answer = InferenceApi(INFERENCE).create_chat_completion(REQUEST)
try:
    InferenceApi(INFERENCE).create_chat_completion(REQUEST, x_model_gates_max_cost="0.000000000001")
except ApiException as error:
    refusal = error.data
assert isinstance(refusal, PaymentRequiredResponse)
metadata = refusal.error.metadata.actual_instance
assert isinstance(metadata, MaxCostMetadata)
print(
    json.dumps(
        {
            "credits": credits_.data.total_credits,
            "available": credits_.modelgates_metadata.available,
            "text": answer.choices[0].message.content,
            "cost": answer.usage.cost,
            "reason": metadata.reason,
        }
    )
)
