"""The provider's responses, plain or streamed, with usage in the provider's place."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from tests.overrun.model import Spent
from tests.overrun.reports import WAYS, Counted, Report, classes, embedded

_replace = msgspec.structs.replace


def observe(
    api: Api, body: dict[str, Any], spent: Spent, rng: Random
) -> tuple[ChatResponseMeter, Usage]:
    """The meter after the response, and the true usage in the classes that the report has."""
    usage = classes(spent, rng)
    way: Callable[[Usage], Counted] = rng.choice(WAYS)
    if api is Api.EMBEDDINGS:
        total_alone = rng.random() < 0.3
        way = lambda usage: embedded(usage, total_alone=total_alone)  # noqa: E731
    report, reported, rules = way(usage)
    meter = ChatResponseMeter(rules=rules)
    write = _writer(rng)
    if api is not Api.EMBEDDINGS and body.get("stream"):
        earlier = way(_halved(usage)).report
        chunks, late = _stream(api, spent, reported, report, earlier, rng)
        for chunk in chunks:
            meter.observe(json.dumps(write(chunk)).encode())
        if late:
            meter.observe_usage(json.dumps(write(late)).encode())
    else:
        meter.observe(json.dumps(write(_plain(api, spent, reported, report, rng))).encode())
    return meter, reported


def _plain(api: Api, spent: Spent, reported: Usage, report: Report, rng: Random) -> Report:
    if api is Api.EMBEDDINGS:
        return {"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "usage": report}
    choices = [
        {"index": index, **_choice(api, reported, "message"), "finish_reason": "stop"}
        for index in range(spent.choices)
    ]
    if len(choices) == 1 and rng.random() < 0.1:
        return {"id": "up-1", "choices": [{**choices[0], "usage": report}]}
    return {"id": "up-1", "choices": choices, "usage": report}


def _stream(
    api: Api, spent: Spent, reported: Usage, report: Report, earlier: Report, rng: Random
) -> tuple[list[Report], Report | None]:
    """The chunks, and the one after the end of the stream, if any."""
    opening: list[Report] = [
        {"id": "up-1", "choices": [{"index": index, **_choice(api, reported, "delta")}]}
        for index in range(spent.choices)
    ]
    ends: list[Report] = [
        {"id": "up-1", "choices": [{"index": index, "delta": {}, "finish_reason": "length"}]}
        for index in range(spent.choices)
    ]
    match rng.choice(("alone", "last", "groq", "choice", "running", "parts", "zeros", "late")):
        case "last":  # Mistral, DeepSeek
            ends[-1]["usage"] = report
        case "groq":
            ends[-1]["x_groq"] = {"id": "req_1", "usage": report}
        case "choice" if spent.choices == 1:  # Moonshot
            ends = [{"id": "up-1", "choices": [{**ends[0]["choices"][0], "usage": report}]}]
        case "running":  # vLLM with `continuous_usage_stats`
            opening[0]["usage"] = earlier
            ends.append({"choices": [], "usage": report})
        case "parts":  # Anthropic: the prompt at the start, the output at the end
            names = [name for name in report if "completion" not in name and "output" not in name]
            opening[0]["usage"] = {name: report[name] for name in names}
            rest = {name: value for name, value in report.items() if name not in names}
            ends.append({"choices": [], "usage": rest})
        case "zeros":
            ends.append({"choices": [], "usage": report})
            ends.append({"choices": [], "usage": dict.fromkeys(report, 0)})
        case "late":
            return opening + ends, {"choices": [], "usage": report}
        case _:  # OpenAI
            ends.append({"choices": [], "usage": report})
    return opening + ends, None


def _choice(api: Api, reported: Usage, part: str) -> dict[str, Any]:
    """A choice with text if there is output; the text's length is unrelated to the report."""
    text = "and so on " if reported.output else ""
    if api is Api.COMPLETIONS:
        return {"text": text}
    thought = {"reasoning_content": "hm, "} if reported.reasoning else {}
    return {part: {"role": "assistant", "content": text, **thought}}


def _halved(usage: Usage) -> Usage:
    """The usage of a running report: all of the prompt, some of the output."""
    return _replace(usage, output=usage.output // 2, reasoning=usage.reasoning // 2, output_audio=0)


def _writer(rng: Random) -> Callable[[Any], Any]:
    """Writes numbers as integers, whole floats or strings of digits: providers send all of them."""
    kind = rng.choice((int, int, int, int, float, str))

    def write(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: each if name == "index" else write(each) for name, each in value.items()}
        if isinstance(value, list):
            return [write(each) for each in value]
        return kind(value) if type(value) is int else value

    return write
