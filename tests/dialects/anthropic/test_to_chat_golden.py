"""Whole requests in both directions, as files: what an agent sends, and what its provider gets."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.from_chat import from_chat
from modelgates_server.dialects.anthropic.request import parse_request
from modelgates_server.dialects.anthropic.to_chat import to_chat
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from tests.dialects.anthropic import messages
from tests.dialects.anthropic.official import check_chat, check_messages

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


def translated(case: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The body for the provider, and everything that was left out."""
    body = json.dumps(case["request"]).encode()
    model = messages.served_by(case["upstream_model"], profile=case["profile"])
    if case["direction"] == "to_chat":
        model = messages.served_by(
            case["upstream_model"], profile=case["profile"], dialects=("openai-chat",)
        )
        request = parse_request(Api.MESSAGES, body)
        result = to_chat(request, model)
    else:
        request = parse_chat(Api.CHAT, body)
        result = from_chat(request, model)
    return json.loads(result.body), [*request.omitted, *result.omitted]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_request_is_translated_as_in_its_file(path: Path) -> None:
    case = json.loads(path.read_text())
    body, omitted = translated(case)
    assert body == case["expected"]
    assert omitted == case["omitted"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_both_sides_of_a_file_are_known_to_the_official_packages(path: Path) -> None:
    case = json.loads(path.read_text())
    sides = (case["request"], case["expected"])
    theirs, ours = sides if case["direction"] == "to_chat" else sides[::-1]
    check_messages(theirs)
    check_chat(ours)
