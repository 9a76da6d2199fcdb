import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api, CapParameter, Endpoint
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.dialects.openai_chat.upstream import upstream_body
from tests.core import calls
from tests.dialects.openai_chat import chat

CAP = "max_tokens"
NEW_CAP = "max_completion_tokens"
GATEWAY_SETS = {"model", CAP, NEW_CAP, "stream_options"}
ROUTING = {"usage", "models", "route", "provider", "transforms", "plugins", "session_id"}
ROUTING |= {"debug", "trace"}
NO_LIMIT = 10**12

raw_members = msgspec.json.Decoder(JsonObject)


def endpoint(cap_parameter: str) -> Endpoint:
    at = calls.endpoint(CapParameter(cap_parameter))
    return msgspec.structs.replace(at, upstream_model="m1-large")


def members_of(body: bytes) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in raw_members.decode(body).items()}


def sent(
    request: InferenceRequest, cap_parameter: str = CAP, cap_tokens: int | None = None
) -> dict[str, Any]:
    body = upstream_body(request, endpoint(cap_parameter), cap_tokens=cap_tokens)
    read: dict[str, Any] = json.loads(body)
    return read


def rejection(body: bytes, api: Api = Api.CHAT) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_request(api, body)
    return str(caught.value)


def most_input(
    request: InferenceRequest, context_tokens: int = NO_LIMIT, media_tokens: int = 0
) -> int:
    return request.input_tokens(context_tokens=context_tokens, media_tokens=media_tokens)


@given(chat.requests())
def test_unread_parameters_are_forwarded_byte_for_byte(sent: tuple[Api, bytes]) -> None:
    api, body = sent
    request = parse_request(api, body)
    before = members_of(body)
    after = members_of(upstream_body(request, endpoint(NEW_CAP), cap_tokens=request.cap_tokens))
    assert after["model"] == b'"m1-large"'
    assert {n: raw for n, raw in after.items() if n not in GATEWAY_SETS} == {
        n: raw for n, raw in before.items() if n not in GATEWAY_SETS
    }


def test_tools_images_and_unknown_parameters_are_not_reencoded() -> None:
    parts = (
        b'[ {"type" : "text", "text": "\\u00e9\\/"}, {"type":"image_url","image_url":{"url":1}}]'
    )
    tools = b'[{"type":"function","function":{"const":1.0e+2, "a":12345678901234567890}}]'
    body = (
        b'{"model":"acme/m1","messages":[{"role":"user","content":%b}],"tools":%b,'
        b'"response_format": {"type":"json_schema", "json_schema":{}},"x":1.10,"seed":-0.0}'
    ) % (parts, tools)
    after = upstream_body(parse_request(Api.CHAT, body), endpoint(CAP), cap_tokens=None)
    for kept in (parts, tools, b'{"type":"json_schema", "json_schema":{}}', b"1.10", b"-0.0"):
        assert kept in after


def test_gateway_parameters_are_not_sent_to_a_provider() -> None:
    members: dict[str, Any] = dict.fromkeys(ROUTING)
    members |= {"usage": {"include": True}, "models": ["a/b"], "debug": {"a": 1}, "trace": {}}
    request = chat.request(**members, user="u1")
    assert not ROUTING & sent(request).keys()
    assert sent(request)["user"] == "u1"


@pytest.mark.parametrize("given_options", [None, {}, {"include_usage": False}, {"a": [1.50]}])
def test_stream_always_requests_its_usage(given_options: dict[str, Any] | None) -> None:
    options = sent(chat.request(stream=True, stream_options=given_options))["stream_options"]
    assert options == {**(given_options or {}), "include_usage": True}
    assert sent(chat.request(stream=True))["stream_options"] == {"include_usage": True}
    plain = sent(chat.request(stream_options=given_options))
    assert plain["stream_options"] == given_options
    assert "stream_options" not in sent(chat.request())


@pytest.mark.parametrize(("read", "other"), [(CAP, NEW_CAP), (NEW_CAP, CAP)])
def test_cap_is_sent_under_the_name_that_the_endpoint_reads(read: str, other: str) -> None:
    assert not {CAP, NEW_CAP} & sent(chat.request(), read).keys()
    for members in ({read: 9}, {other: 9}, {read: 9, other: None}, {read: 3, other: 9}):
        request = chat.request(**members)
        assert request.cap_tokens == 9
        assert {n: v for n, v in sent(request, read).items() if "max" in n} == {read: 9}
        assert {n: v for n, v in sent(request, read, 5).items() if "max" in n} == {read: 5}
    assert sent(chat.request(), read, 5)[read] == 5


def test_completions_cap_is_sent_as_max_tokens() -> None:
    request = chat.request(Api.COMPLETIONS)
    assert sent(request, NEW_CAP, 5)[CAP] == 5
    assert NEW_CAP not in sent(chat.request(Api.COMPLETIONS, **{NEW_CAP: 7}), NEW_CAP)


def test_escaped_name_is_read_like_any_other() -> None:
    assert parse_request(Api.CHAT, chat.body_of(n=4).replace(b'"n"', b'"\\u006e"')).choices == 4


@given(st.lists(chat.texts, min_size=1, max_size=5), st.booleans(), st.booleans())
def test_token_bound_covers_every_tokenizer(
    texts: list[str], ascii_only: bool, in_parts: bool
) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": text}] if in_parts else text}
        for text in texts
    ]
    body = json.dumps({"model": "m", "messages": messages}, ensure_ascii=ascii_only).encode()
    request = parse_request(Api.CHAT, body)
    worst = sum(len(text.encode()) + 8 for text in texts) + 200
    assert worst <= most_input(request)
    assert most_input(request) <= len(body) + 768 + 16 * (len(texts) + 1)
    assert most_input(request, context_tokens=10) == 10


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=9), min_size=1, max_size=9))
def test_token_bound_covers_a_prompt_in_token_numbers(tokens: list[list[int]]) -> None:
    for api, name in ((Api.COMPLETIONS, "prompt"), (Api.EMBEDDINGS, "input")):
        several = chat.request(api, **{name: tokens})
        assert several.texts == len(tokens)
        assert most_input(several) >= sum(len(each) + 3 for each in tokens)
        assert most_input(several, context_tokens=2) == 2 * len(tokens)
        single = chat.request(api, **{name: tokens[0]})
        assert single.texts == 1


def test_token_bound_covers_the_template_of_empty_messages() -> None:
    assert most_input(chat.request(messages=[{}] * 500)) > 500 * 8 + 200


def test_token_bound_of_tools_exceeds_their_text() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    plain = most_input(chat.request())
    assert most_input(chat.request(tools=[])) < plain + 20
    assert most_input(chat.request(tools=[tool])) > plain + 1000
    assert most_input(chat.request(functions=[{"name": "f"}])) > plain + 1000


@pytest.mark.parametrize(
    ("members", "choices"),
    [
        ({"n": 3}, 3),
        ({"n": 2, "best_of": 5}, 5),
        ({"prompt": ["a", "b", "c"]}, 3),
        ({"prompt": ["a", "b"], "n": 3}, 6),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [1, "a", "b"]}, 3),
        ({"prompt": "[1, 2]"}, 1),
        ({"prompt": ""}, 1),
    ],
)
def test_every_requested_choice_is_counted(members: dict[str, Any], choices: int) -> None:
    assert chat.request(Api.COMPLETIONS, **members).choices == choices


def test_embedding_has_no_choices_cap_or_stream() -> None:
    request = chat.request(Api.EMBEDDINGS, input=["a"] * 2048, n=5, max_tokens=9, stream=True)
    assert (request.texts, request.choices, request.cap_tokens, request.stream) == (
        2048,
        1,
        None,
        False,
    )
    assert "stream" not in request.wire, "streamed embeddings could not be metered"


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}


def with_parts(*parts: dict[str, Any], **members: Any) -> InferenceRequest:
    content = [{"type": "text", "text": "?"}, *parts]
    return chat.request(messages=[{"role": "user", "content": content, **members}])


def test_image_is_sized_as_an_image_and_not_as_text() -> None:
    request = with_parts(IMAGE, {"type": "input_audio", "input_audio": {"data": "A" * 4000}})
    assert (request.media, request.has_files) == (2, False)
    assert request.unlike_text == {Meter.INPUT_AUDIO}
    assert most_input(request, media_tokens=100) < 1200
    assert most_input(request, media_tokens=5000) > 10_000
    assert request.input_tokens(context_tokens=8000, media_tokens=None) == 8000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_file", "file_url": "https://a/b.pdf"},
        {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}},
        {"type": "document_url", "document_url": "https://a/b.pdf"},
        {"type": "thinking", "thinking": "x" * 900},
    ],
)
def test_file_is_not_sized_as_one_image(part: dict[str, Any]) -> None:
    request = with_parts(part)
    assert request.has_files
    assert request.input_tokens(context_tokens=8000, media_tokens=10) == 8000
    assert request.bounds(context_tokens=8000, media_tokens=10, output_tokens=1).media


@pytest.mark.parametrize("members", [{"audio": {"id": "audio-1"}}, {"images": [IMAGE]}])
def test_media_of_an_earlier_response_are_not_text(
    members: dict[str, Any],
) -> None:
    request = with_parts(**members)
    assert (request.media, request.has_files) == (1, True)
    assert ("audio" in members) == (Meter.INPUT_AUDIO in request.unlike_text)
    assert not with_parts(**dict.fromkeys(members)).media


@pytest.mark.parametrize(("api", "name"), [(Api.EMBEDDINGS, "input"), (Api.COMPLETIONS, "prompt")])
@pytest.mark.parametrize(
    "given_input", [{"image": "https://a"}, [{"image": "https://a"}, "b"], [[1, {"image": "a"}]]]
)
def test_image_instead_of_a_text_is_not_sized_as_text(
    api: Api, name: str, given_input: object
) -> None:
    request = chat.request(api, **{name: given_input})
    assert request.has_files
    assert not chat.request(api, **{name: ["{}", '[{"a"']}).has_files


MISSING = 'Input required: specify "prompt" or "messages"'


@pytest.mark.parametrize(
    ("api", "body", "expected"),
    [
        (Api.CHAT, b'{"model":"m"}', MISSING),
        (Api.CHAT, b'{"model":"m","messages":[]}', MISSING),
        (Api.CHAT, b'{"model":"m","messages":null}', MISSING),
        (Api.CHAT, b'{"model":"m","prompt":"hi"}', MISSING),
        (Api.COMPLETIONS, b'{"model":"m","prompt":null}', 'Input required: specify "prompt"'),
        (Api.COMPLETIONS, b'{"model":"m","prompt":[]}', "has 0 texts"),
        (Api.COMPLETIONS, b'{"model":"m","prompt":["a"%b]}' % (b',"a"' * 128), "1 to 128."),
        (Api.EMBEDDINGS, b'{"model":"m"}', 'Input required: specify "input"'),
        (Api.EMBEDDINGS, b'{"model":"m","input":[]}', "has 0 texts"),
        (Api.CHAT, b'{"messages":[{"content":"x"}]}', "`model` is missing."),
        (Api.CHAT, b"", "The request body is not valid JSON: it ends too early."),
        (Api.CHAT, b"[]", "The request body must be an object, not a list."),
        (Api.CHAT, b'{"model":"m","messages":"hi"}', "`messages` must be a list"),
        (Api.CHAT, b'{"model":"m","messages":["hi"]}', "`messages[0]` must be an object"),
        (Api.CHAT, b'{"model":"m","messages":[{"content":{"type":"image_url"}}]}', "content"),
        (Api.CHAT, b'{"model":"m","messages":[{"content":5}]}', "content"),
        (Api.CHAT, b'{"model":"m","messages":[{"content":["hi"]}]}', "an object with a `type`"),
        (Api.CHAT, b'{"model":"m","messages":[{"content":[{"image_url":1}]}]}', "with a `type`"),
        (Api.CHAT, b'{"model":"m","messages":[{"content":"\xff"}]}', "not valid UTF-8"),
        (Api.CHAT, b'{"model":"m","messages":[{"content":"\xed\xa0\x80"}]}', "not valid UTF-8"),
        (Api.CHAT, b'{"model":"m","messages":[{"content":"\\ud800\\u0041"}]}', "surrogate"),
        (Api.CHAT, b'{"model":"m","messages":[{"content":"\\udc00"}]}', "surrogate"),
        (Api.COMPLETIONS, b'{"model":"m","prompt":%b]' % (b"[" * 9999), "too deeply"),
        (Api.CHAT, b'{"model":"m","x":%b%b}' % (b"[" * 9999, b"]" * 9999), "too deeply"),
        (Api.CHAT, b'{"model":"m","x":NaN,"messages":[{"content":"x"}]}', "invalid char"),
        (Api.CHAT, b'{"model":"m","messages":[{"content":"x"}]} x', "trailing"),
    ],
)
def test_invalid_request_is_rejected(api: Api, body: bytes, expected: str) -> None:
    assert expected in rejection(body, api)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model", ["", None, 5, "m" * 256, ["a"]]),
        ("n", [0, -1, 129, True, "2", 1.0, 10**30]),
        ("best_of", [0, -1, 129, True]),
        (CAP, [0, -1, 10**99, True, "5", 5.0, 1.5, 10**9 + 1]),
        (NEW_CAP, [0, -1, 10**99, True, "5"]),
        ("stream", ["true", 1]),
        ("stream_options", [[], "x", True]),
        ("tools", [{}, ["f"], [{}], [{"google_search": {}}]]),
        ("modalities", ["audio", [1]]),
        ("user", ["u" * 256, 5]),
        ("session_id", ["s" * 256]),
        ("models", ["a/b", [1], [""], ["m" * 256]]),
        ("route", ["cheapest", 1]),
        ("functions", ["f", ["f"]]),
        ("service_tier", ["s" * 256, 5, {}, True]),
    ],
)
def test_invalid_parameter_is_rejected_by_name(name: str, values: list[Any]) -> None:
    for value in values:
        assert f"`{name}" in rejection(chat.body_of(**{name: value}))


@pytest.mark.parametrize("api", chat.BODIES)
def test_request_without_a_model_is_rejected(api: Api) -> None:
    none: list[dict[str, Any]] = [{}, {"models": None}, {"models": []}]
    for members in none:
        members["model"] = None
        assert "`model` is missing." in rejection(chat.body_of(api, **members), api)


def test_model_comes_before_models() -> None:
    assert chat.request(models=["b/b", calls.MODEL, "c/c"]).models == (calls.MODEL, "b/b", "c/c")
    assert chat.request(model=None, models=["b/b"]).models == ("b/b",)


def test_number_too_large_to_represent_is_rejected() -> None:
    body = chat.body_of(max_tokens=777)
    for number in (b"1e99", b"1e999", b"9" * 5000, b"-0"):
        assert rejection(body.replace(b"777", number))


@pytest.mark.parametrize(
    "members",
    [
        {"web_search_options": {}},
        {"search_parameters": {"mode": "on"}},
        {"enable_search": True},
        {"data_sources": [{"type": "azure_search"}]},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function"}, {"type": "code_interpreter"}]},
        {"tools": [{"type": "openrouter:web_search"}]},
    ],
)
def test_feature_without_a_price_is_rejected(members: dict[str, Any]) -> None:
    assert "no price on this server" in rejection(chat.body_of(**members))


@pytest.mark.parametrize(
    "members",
    [
        {"service_tier": None},
        {"service_tier": "default"},
        {"web_search_options": None},
        {"plugins": []},
        {"enable_search": False},
        {"tools": [{"type": "function"}, {"type": "custom"}]},
        {"tools": None, "n": None, "max_tokens": None, "stream": None, "stream_options": None},
        {"messages": [{"role": "assistant", "content": None}, {"role": "user"}]},
        {"messages": [{"content": [{"type": "refusal", "refusal": "no"}]}]},
    ],
)
def test_parameter_without_extra_cost_is_accepted(members: dict[str, Any]) -> None:
    request = chat.request(**members)
    assert (request.choices, request.cap_tokens, request.stream, request.media) == (
        1,
        None,
        False,
        0,
    )


@given(st.sampled_from(list(chat.BODIES)), st.binary(max_size=60), chat.JUNK)
def test_arbitrary_bodies_do_not_crash_the_reader(api: Api, noise: bytes, junk: object) -> None:
    bodies = [noise, json.dumps(junk).encode()]
    bodies += [chat.body_of(api, **{name: junk}) for name in ("messages", "prompt", "input")]
    bodies += [
        chat.body_of(api, messages=[{"content": junk, "audio": junk}]),
        b'{"model":' + noise,
    ]
    for body in bodies:
        try:
            request = parse_request(api, body)
        except InvalidInput:
            continue
        assert most_input(request, context_tokens=100) in range(101 * request.texts)
        assert upstream_body(request, endpoint(CAP), cap_tokens=1)


@pytest.mark.parametrize(
    "member",
    [
        b'"prediction":{"content":"x"},"chat_template":"{{ x }}"',
        b'"max_new_tokens":9',
        b'"max_output_tokens":9',
        b'"Web_Search_Options":{}',
    ],
)
def test_alias_that_would_bypass_the_hold_is_rejected(member: bytes) -> None:
    body = b'{"model":"a/b","messages":[{"role":"user","content":"hi"}],%b}' % member
    with pytest.raises(InvalidInput):
        parse_request(Api.CHAT, body)
