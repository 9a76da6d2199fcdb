"""Recognizes a provider's error in a response or chunk without choices that has no `error`.

Shapes: vLLM (`object: "error"`), FastAPI (`detail`), MiniMax (`base_resp`), Baidu (`error_code`,
`error_msg`), Zhipu (`code`, `msg`), Cloudflare (`errors`), Apigee (`fault`), Spring and RFC 9457
(`title`, `status`), AWS (`__type`), and a list around any of them (Gemini).
"""

from typing import Any

import msgspec

from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.error_statuses import status_of

_MEMBERS = frozenset(
    {
        *(
            "object",
            "type",
            "__type",
            "base_resp",
            "detail",
            "details",
            "errors",
            "fault",
            "success",
        ),
        *("error_code", "error_msg", "errorCode", "errorMessage", "error_message"),
        *("message", "Message", "msg", "code", "status", "status_code", "statusCode", "title"),
    }
)
"""Fields that the rules below read; the others are not decoded to recognize an error."""

_ALWAYS = ("detail", "errors", "fault", "error_msg", "errorMessage", "error_message")
"""Fields that only errors have."""

_CODES = ("code", "error_code", "errorCode")
_WORDS = ("status", "status_code", "statusCode", "type")
_TEXTS = ("message", "Message", "msg", "title", "details")
_GOOD = frozenset({"", "0", "200", "ok", "success", "succeeded", "completed", "none", "null"})
_FAILED = frozenset({"error", "fail", "failed", "failure"})
_TYPE_ENDS = ("error", "exception")
_OK = 200
_STATUS_MIN = 400


def foreign_error(members: JsonObject) -> Any:
    """The error that a response or chunk without choices reports in another form; None if none.

    The result is the part of it that describes the error.
    """
    if _MEMBERS.isdisjoint(members):
        return None
    body = {name: _decoded(raw) for name, raw in members.items() if name in _MEMBERS}
    if not _is_error(body):
        return None
    if isinstance(body.get("base_resp"), dict):
        return {"base_resp": body["base_resp"]}  # the rest is an empty response
    skipped = ("choices", "usage")
    return {name: _decoded(raw) for name, raw in members.items() if name not in skipped}


def error_in(payload: bytes) -> Any:
    """The error in JSON that is not a response of this API, such as a list; None if there is none.

    Raises nothing: invalid JSON is no error of a provider.
    """
    try:
        value = msgspec.json.decode(payload)
        each = value[0] if isinstance(value, list) and value else value
        if not isinstance(each, dict):
            return None
        if each.get("error"):
            return value
        members = msgspec.json.decode(msgspec.json.encode(each), type=JsonObject)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if each.get("choices") else foreign_error(members)


def _is_error(body: dict[str, Any]) -> bool:
    if body.get("object") == "error" or body.get("type") == "error" or body.get("success") is False:
        return True
    if any(body.get(name) for name in _ALWAYS):
        return True
    base_resp = body.get("base_resp")
    if isinstance(base_resp, dict) and _is_bad(base_resp.get("status_code")):
        return True
    if _word(body.get("status")) in _FAILED or _is_bad(body.get("error_code")):
        return True
    if not any(isinstance(body.get(name), str) and body[name] for name in _TEXTS):
        return False
    has_code = any(_is_bad(body.get(name)) for name in _CODES)
    return has_code or "__type" in body or any(_is_bad_word(body.get(name)) for name in _WORDS)


def _is_bad(code: Any) -> bool:
    """Whether the code of a result means a failure: any but those of a success."""
    if isinstance(code, str):
        return _word(code) not in _GOOD
    return isinstance(code, int) and not isinstance(code, bool) and code not in (0, _OK)


def _is_bad_word(value: Any) -> bool:
    """Whether a status or a type is that of an error: most are not."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value >= _STATUS_MIN
    is_error = _word(value).endswith(_TYPE_ENDS)
    return is_error or status_of({"status": value}) is not None


def _word(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
