"""The golden logs are what OpenAI's client expects, so they can prove what the gateway does."""

import pytest

from tests.dialects.openai_responses.official import accumulated, check_events
from tests.dialects.openai_responses.provider import ALL_LOGS, GOOD_LOGS, last, log


@pytest.mark.parametrize("name", ALL_LOGS)
def test_golden_log_has_the_types_of_the_official_client(name: str) -> None:
    check_events(log(name))


@pytest.mark.parametrize("name", [n for n in GOOD_LOGS if not n.startswith("incomplete")])
def test_golden_log_accumulates_to_its_last_event(name: str) -> None:
    whole = accumulated(log(name))
    assert [item.id for item in whole.output] == [item["id"] for item in last(name)["output"]]
    assert whole.output_text == "".join(
        part.get("text", "") for item in last(name)["output"] for part in item.get("content", ())
    )
