"""Calls that succeed, and their receipts."""

from typing import Any

from tests.recorded.script import Script, scenario
from tests.upstream import (
    DONE,
    Gate,
    UpstreamReply,
    answer,
    chunk,
    event,
    plain,
    story,
    usage,
    used,
)

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
CALLED = [
    {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Bonn"}'},
    }
]
DETAILED = usage(
    30,
    20,
    prompt_tokens_details={"cached_tokens": 10},
    completion_tokens_details={"reasoning_tokens": 5},
)


@scenario
async def chat_plain(script: Script) -> None:
    script.provider_returns(
        plain(answer("hi", usage(3, 5), service_tier="default", odd={"a": [1]}))
    )
    exchange = await script.chat("a plain response", temperature=0.5, user="end-user-1")
    await script.receipt("its receipt", exchange.json["id"])
    named = {
        "x_session_id": "session-1",
        "x_title": "Example App",
        "http_referer": "https://app.example",
        "user_agent": "recorder/1",
        "x_modelgates_metadata": "enabled",
    }
    exchange = await script.chat("headers that name the caller", max_tokens=7, headers={**named})
    await script.receipt("its receipt with the caller", exchange.json["id"])
    await script.chat(
        "within its maximum cost", max_tokens=1, headers={"x_modelgates_max_cost": "5"}
    )


@scenario
async def chat_details(script: Script) -> None:
    body = answer("h\u00e9 \U0001f600", DETAILED, system_fingerprint="fp_1")
    body["choices"][0]["message"] |= {"reasoning": "hm", "tool_calls": None, "refusal": None}
    script.provider_returns(plain(body))
    exchange = await script.chat("reasoning and cached tokens")
    await script.receipt("its receipt", exchange.json["id"])
    body = answer("", usage(9, 9))
    body["choices"][0] |= {"finish_reason": "tool_calls"}
    body["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": CALLED}
    script.provider_returns(plain(body))
    await script.chat("a tool call", tools=[TOOL], tool_choice="auto")
    body = answer("one", usage(3, 9))
    body["choices"].append({"index": 1, "message": {"content": "two"}, "finish_reason": "length"})
    script.provider_returns(plain(body))
    await script.chat("two choices", n=2, max_completion_tokens=5)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "what is it?"}, image]
    script.provider_returns(plain(answer("a cat", usage(200, 3))))
    await script.chat("an image", messages=[{"role": "user", "content": content}])
    script.provider_returns(plain(answer("no usage", None)))
    await script.chat("a response without usage is estimated")
    script.provider_returns(plain(answer("too high", usage(10**6, 10**6))))
    exchange = await script.chat("a reported usage above the hold", max_tokens=2)
    await script.receipt("its receipt with the overrun", exchange.json["id"])


@scenario
async def chat_streamed(script: Script) -> None:
    script.provider_returns(UpstreamReply(story()))
    exchange = await script.chat("a stream", stream=True)
    await script.receipt("its receipt", exchange.header("x-generation-id"))
    script.provider_returns(UpstreamReply([b"".join(story()).replace(b"\n", b"\r\n")]))
    await script.chat("in one piece, with CRLF", stream=True, stream_options={})
    script.provider_returns(UpstreamReply([b": thinking\n\n", *story()[:-1]]))
    await script.chat("comments, and no [DONE]", stream=True)
    script.provider_returns(
        UpstreamReply([chunk("word "), chunk("two"), chunk(finish="stop"), DONE])
    )
    await script.chat("a stream without usage is estimated", stream=True)
    script.provider_returns(
        UpstreamReply(
            [chunk("a"), chunk("b", usage=usage(3, 2)), chunk(finish="stop", x_groq={}), DONE]
        )
    )
    await script.chat("usage in a chunk with a choice", stream=True)


@scenario
async def chat_streamed_details(script: Script) -> None:
    pieces = [
        event({"id": "1", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}),
        event({"id": "1", "choices": [{"index": 0, "delta": {"reasoning": "hm"}}]}),
        event({"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": CALLED}}]}),
        event(
            {"id": "1", "choices": [{"index": 0, "delta": {"content": "h\u00e9", "audio": None}}]}
        ),
        chunk(finish="tool_calls"),
        used(DETAILED),
        DONE,
    ]
    script.provider_returns(UpstreamReply(pieces))
    exchange = await script.chat("reasoning and a tool call", stream=True, tools=[TOOL])
    await script.receipt("its receipt", exchange.header("x-generation-id"))


@scenario
async def chat_kept_alive(script: Script) -> None:
    gate = Gate(story()[:2], story()[2:])
    script.provider_returns(UpstreamReply(gate))
    stream = await script.begin_chat("a provider that is silent for a while", stream=True)
    await stream.until(b"word1")
    for times in (1, 2):
        script.gateway.clock.forward(15_000)
        script.gateway.heartbeat()
        while stream.body.count(b": MODELGATES PROCESSING\n\n") < times:
            await stream.more()
    await script.send("the hold meanwhile", "GET", "/credits/holds", key=script.customer.viewer)
    running = stream.header("x-generation-id")
    await script.receipt("the receipt of the running call", running)
    gate.go.set()
    await stream.finish()
    await script.receipt("the receipt after its end", running)


@scenario
async def chat_left(script: Script) -> None:
    gate = Gate(story()[:2], story()[2:])
    script.provider_returns(UpstreamReply(gate))
    stream = await script.begin_chat("a client that leaves", stream=True)
    await stream.until(b"word1")
    await stream.leave()
    for _ in range(3):  # the server sees that it has left before it answers another
        await script.send("another request meanwhile", "GET", "//healthz")
    gate.go.set()
    await script.ended(stream)
    await script.receipt("the client is charged for the usage", stream.header("x-generation-id"))


@scenario
async def completions(script: Script) -> None:
    parameters: dict[str, Any] = {"model": "acme/large", "prompt": ["one", "two"], "max_tokens": 5}
    key = script.customer.inference
    choices = [{"index": at, "text": f"t{at}", "finish_reason": "stop"} for at in (0, 1)]
    body = {"id": "cmpl-1", "object": "text_completion", "choices": choices, "usage": usage(4, 4)}
    script.provider_returns(plain(body))
    await script.send("two prompts", "POST", "/completions", key=key, body=parameters)
    pieces = [event({**body, "choices": [each], "usage": None}) for each in choices]
    script.provider_returns(UpstreamReply([*pieces, used(usage(4, 4)), DONE]))
    streamed = {**parameters, "stream": True}
    await script.send("streamed", "POST", "/completions", key=key, body=streamed)
    script.provider_returns(
        UpstreamReply([pieces[0], event({"error": {"message": "no", "code": 500}})])
    )
    await script.send("an error within the stream", "POST", "/completions", key=key, body=streamed)


@scenario
async def embeddings(script: Script) -> None:
    parameters: dict[str, Any] = {"model": "acme/embed", "input": ["one", "two"]}
    rows = [{"object": "embedding", "index": at, "embedding": [0.5, -1e-7]} for at in (0, 1)]
    reported = {"prompt_tokens": 4, "total_tokens": 4}
    script.provider_returns(
        plain({"object": "list", "data": rows, "model": "e", "usage": reported})
    )
    key = script.customer.inference
    exchange = await script.send("two texts", "POST", "/embeddings", key=key, body=parameters)
    await script.receipt("its receipt", exchange.header("x-generation-id"))
    script.provider_returns(plain({"object": "list", "data": rows, "model": "e"}))
    parameters = {**parameters, "stream": True, "encoding_format": "float"}
    await script.send(
        "without usage, and with a stream parameter",
        "POST",
        "/embeddings",
        key=key,
        body=parameters,
    )


@scenario
async def other_dialects(script: Script) -> None:
    """The operations of Anthropic's and OpenAI's newer API, translated to chat completions."""
    key = script.customer.inference
    said = [{"role": "user", "content": "one two"}]
    body: dict[str, Any] = {"model": "sandbox/echo", "max_tokens": 50, "messages": said}
    await script.send("a message", "POST", "/messages", key=key, body=body)
    await script.send("streamed", "POST", "/messages", key=key, body={**body, "stream": True})
    await script.send("its tokens", "POST", "/messages/count_tokens", key=key, body=body)
    await script.send("without a key", "POST", "/messages", body=body)
    unknown = {**body, "model": "acme/none"}
    await script.send("an unknown model", "POST", "/messages", key=key, body=unknown)
    body = {"model": "sandbox/echo", "input": "one two", "tools": [{"type": "web_search"}]}
    exchange = await script.send("a response", "POST", "/responses", key=key, body=body)
    await script.receipt("its receipt", exchange.header("x-generation-id"))
    await script.send("streamed", "POST", "/responses", key=key, body={**body, "stream": True})
    stored = {**body, "previous_response_id": "resp_1"}
    await script.send("with stored items", "POST", "/responses", key=key, body=stored)
    unknown = {**body, "model": "acme/none"}
    await script.send("an unknown model", "POST", "/responses", key=key, body=unknown)


@scenario
async def sandbox(script: Script) -> None:
    for model in ("sandbox/echo", "sandbox/lorem"):
        await script.chat(f"{model} answers", model=model, text="3")
        await script.chat(f"{model} streams", model=model, text="3", stream=True)
    body = {"model": "sandbox/embed", "input": "one two"}
    key = script.customer.inference
    await script.send("sandbox/embed", "POST", "/embeddings", key=key, body=body)
    body = {"model": "sandbox/echo", "prompt": "one two"}
    await script.send("a prompt", "POST", "/completions", key=key, body=body)
    await script.chat(
        "chaos", model="sandbox/chaos", text='{"tokens": 4, "cut_after": 2}', stream=True
    )
    await script.chat(
        "chaos with a status", model="sandbox/chaos", text='{"status": 429, "retry_after": 7}'
    )


@scenario
async def repeated(script: Script) -> None:
    once: dict[str, str | None] = {"idempotency_key": "6f1c9a8e-once"}
    script.provider_returns(plain(answer("hi", usage(3, 5))))
    exchange = await script.chat("a call with an idempotency key", headers=once)
    await script.chat("its repeat", headers=once)
    await script.chat("another request under the same key", headers=once, max_tokens=7)
    await script.receipt("its receipt: charged once", exchange.json["id"])
    other: dict[str, str | None] = {"idempotency_key": "stream \u00e9"}
    gate = Gate(story()[:2], story()[2:])
    script.provider_returns(UpstreamReply(gate))
    stream = await script.begin_chat("a stream", headers=other, stream=True)
    await stream.until(b"word1")
    repeat = await script.begin_chat("a repeat while it runs", headers=other, stream=True)
    await repeat.until(b"word1")
    gate.go.set()
    await stream.finish()
    await repeat.finish()
    await script.chat("a repeat after the end of the stream", headers=other, stream=True)
    script.gateway.clock.forward(121_000)
    await script.chat("a repeat two minutes later", headers=other, stream=True)
    again: dict[str, str | None] = {"idempotency_key": "again"}
    script.provider_returns(plain({"error": {"message": "oops"}}, 500))
    await script.chat("a call that fails", headers=again)
    script.provider_returns(plain(answer("hi", usage(3, 5))))
    await script.chat("the call made again", headers=again)
    await script.chat("an empty idempotency key", headers={"idempotency_key": ""})


@scenario
async def activity(script: Script) -> None:
    viewer = script.customer.viewer
    await script.send("credits before any call", "GET", "/credits", key=viewer)
    await script.send("activity before any call", "GET", "/activity", key=viewer)
    script.provider_returns(plain(answer("hi", DETAILED)))
    await script.chat("one call")
    await script.chat("a call of another model", model="sandbox/echo")
    script.gateway.clock.forward(24 * 3_600_000)
    await script.chat("a call on another day")
    await script.send("credits", "GET", "/credits", key=script.customer.management)
    await script.send("all activity", "GET", "/activity", key=viewer)
    await script.send("activity of one day", "GET", "/activity?date=2026-11-23", key=viewer)
    await script.send("activity of an invalid day", "GET", "/activity?date=yesterday", key=viewer)
    await script.send("the key of the calls", "GET", "/key", key=script.customer.inference)
    await script.send("no holds", "GET", "/credits/holds", key=viewer)
