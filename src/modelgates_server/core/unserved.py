"""Members of a request that the gateway cannot stand for, each with the reason it is refused.

Some would make a call that nobody here can meter, some would limit it in a way that nobody here
obeys. Dropped in silence, the first would cost the platform and the second the customer.
"""

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.members import Members, spelling
from modelgates_server.core.preferences import LIMITING

_SAY_NOTHING = (b"null", b"false", b"[]", b"{}", b'""')

_LATER = "an answer that comes later cannot be metered; leave it out"
_ELSEWHERE = "the provider would read what is not in the request; send all messages with each call"
_COST = "bound the whole call with the header X-ModelGates-Max-Cost"

_REASONS = {
    # xAI: 202 and an id; OpenAI's /responses; batches of OpenAI, Sail and Doubleword; Cloudflare.
    "deferred": _LATER,
    "background": _LATER,
    "async": _LATER,
    "batch": _LATER,
    "completion_window": _LATER,
    "queue_request": _LATER,
    "webhook": _LATER,
    "webhook_url": _LATER,
    "callback_url": _LATER,
    # What makes a prompt longer than its request: OpenAI's /responses, Volcengine's contexts.
    "previous_response_id": _ELSEWHERE,
    "conversation": _ELSEWHERE,
    "context_id": _ELSEWHERE,
    "store": "the provider would keep the conversation in the gateway's own account; leave it out",
    # OpenRouter's.
    "preset": "there are no presets here; put what it has into the request",
    "external": "nothing external is called here; leave it out",
    "transforms": "prompts are not transformed here; leave it out or send []",
    "deferred_tools": "tools are not searched for here; send them as tools",
    "stop_server_tools_when": f"there are no server tools here; {_COST}",
    "guardrails": "there are no guardrails here; leave it out",
    # Of other gateways.
    "provider_options": "preferences for the gateway stand in provider",
    "max_cost": _COST,
    "max_budget": _COST,
    **{name: f"write it in provider: provider.{name}" for name in LIMITING},
}
_BY_SPELLING = {spelling(name): reason for name, reason in _REASONS.items()}


def refuse_unserved(members: Members) -> None:
    """Raises `InvalidInput` for the first member of a request that asks for what is not served."""
    for name, raw in members.items():
        reason = _BY_SPELLING.get(spelling(name[:80]))
        if reason and bytes(raw) not in _SAY_NOTHING:
            raise InvalidInput(f"{name} is not served: {reason}")
