from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.inference import Api, read_demand
from tests.core import calls

LATER = "an answer that comes later cannot be metered"


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"deferred": True}, f"deferred is not served: {LATER}"),
        ({"Deferred": True}, f"Deferred is not served: {LATER}"),
        ({"background": True}, LATER),
        ({"async": True}, LATER),
        ({"batch": 1}, LATER),
        ({"completion_window": "24h"}, LATER),
        ({"queueRequest": True}, f"queueRequest is not served: {LATER}"),
        ({"webhook": "https://a"}, LATER),
        ({"store": True}, "keep the conversation"),
        ({"previous_response_id": "resp_1"}, "not in the request"),
        ({"conversation": {"id": "conv_1"}}, "not in the request"),
        ({"preset": "fast"}, "preset is not served: there are no presets here"),
        ({"external": {"a": 1}}, "external is not served"),
        ({"transforms": ["middle-out"]}, "leave it out or send []"),
        ({"deferred_tools": {"version": 1}}, "send them as tools"),
        ({"stop_server_tools_when": [{"type": "max_cost"}]}, "X-ModelGates-Max-Cost"),
        ({"max_cost": 0.1}, "X-ModelGates-Max-Cost"),
        ({"providerOptions": {"gateway": {"only": ["a"]}}}, "stand in provider"),
        ({"max_price": {"prompt": 1}}, "provider.max_price"),
        ({"zdr": True}, "write it in provider: provider.zdr"),
        ({"data_collection": "deny"}, "provider.data_collection"),
    ],
)
def test_request_for_what_is_not_served_is_refused_by_name(
    members: dict[str, Any], says: str
) -> None:
    for api in Api:
        with pytest.raises(InvalidInput) as refusal:
            read_demand(api, calls.body_of(api, **members))
        assert says in str(refusal.value)


@pytest.mark.parametrize("nothing", [None, False, [], {}, ""])
def test_request_that_asks_for_nothing_unserved_passes(nothing: object) -> None:
    for name in ("deferred", "background", "store", "preset", "transforms", "zdr"):
        members: dict[str, Any] = {name: nothing}
        assert calls.demand(**members).choices == 1
