"""The HTTP status that a provider's error means, if it was sent with status 200 or in a stream.

Sources: google.rpc.Code, the error types of OpenAI, Anthropic, vLLM and AWS, and the lists of codes
in the documentation of MiniMax, Baidu and Zhipu.
"""

import re
from typing import Any

_STATUS = re.compile(r"[45][0-9]{2}")

_NAMES = (
    "code",
    "status",
    "status_code",
    "statusCode",
    "http_code",
    "http_status_code",
    "error_code",
    "errorCode",
)
_TYPES = ("type", "__type", "reason")

_WORDS: dict[str, int] = {
    word: status
    for status, words in {
        400: "invalid_argument failed_precondition out_of_range invalid_request_error "
        "invalid_request badrequesterror bad_request bad_request_error context_length_exceeded "
        "string_above_max_length invalid_value invalidparameter invalid_parameter "
        "invalid_parameter_error validationexception validation_error unprocessable_entity "
        "content_policy_violation content_filter data_inspection_failed datainspectionfailed",
        401: "unauthenticated authentication_error authenticationerror invalid_api_key "
        "invalidapikey unauthorized invalid_authentication_error",
        402: "payment_required insufficient_balance insufficient_credits arrearage "
        "accountoverdueerror billing_error billing_not_active",
        403: "permission_denied permission_error permissiondeniederror forbidden access_denied "
        "accessdeniedexception accessdenied",
        404: "not_found not_found_error notfounderror model_not_found modelnotfound "
        "resourcenotfoundexception",
        408: "request_timeout",
        413: "request_too_large payload_too_large",
        429: "resource_exhausted rate_limit_exceeded rate_limit_error ratelimiterror "
        "rate_limit_reached rate_limited rate_limit too_many_requests throttlingexception "
        "throttling throttled tokens_exceeded "
        "requestlimitexceeded limit_requests engine_overloaded_rpm",
        500: "internal internal_error internal_server_error internalservererror api_error "
        "server_error data_loss unknown",
        503: "unavailable overloaded_error overloaded service_unavailable serviceunavailable "
        "serviceunavailableexception engine_overloaded engine_overloaded_error "
        "modelnotreadyexception over_capacity server_overloaded",
        504: "deadline_exceeded timeout timeout_error gateway_timeout modeltimeoutexception",
    }.items()
    for word in words.split()
}

_MINIMAX: dict[int, int] = {
    1000: 500,
    1001: 504,
    1002: 429,
    1004: 401,
    1008: 402,
    1013: 500,
    1024: 500,
    1026: 400,
    1027: 400,
    1033: 500,
    1039: 429,
    1041: 429,
    1042: 400,
    2013: 400,
    2045: 429,
    2049: 401,
    2056: 429,
}
"""`base_resp.status_code`."""

_BAIDU: dict[int, int] = {
    2: 503,
    4: 429,
    6: 403,
    17: 429,
    18: 429,
    19: 429,
    100: 400,
    110: 401,
    111: 401,
    336000: 500,
    336001: 400,
    336002: 400,
    336003: 400,
    336007: 400,
    336100: 503,
    336103: 400,
    336104: 400,
    336501: 429,
    336502: 429,
    336503: 429,
}
"""`error_code`."""

_ZHIPU: dict[int, int] = {
    **dict.fromkeys((1000, 1001, 1002, 1003, 1004), 401),
    **dict.fromkeys((1110, 1111, 1112, 1120, 1121, 1220), 403),
    1113: 402,
    **dict.fromkeys((1210, 1212, 1213, 1214, 1215, 1261, 1301), 400),
    1211: 404,
    **dict.fromkeys((1230, 1234), 500),
    **dict.fromkeys((1302, 1303, 1304, 1305, 1308, 1309, 1310, 1313), 429),
}
"""`code`."""

_BY_FIELD = {"status_code": _MINIMAX, "error_code": _BAIDU, "code": _ZHIPU}


def status_of(*objects: Any) -> int | None:
    """The status that the first of these objects with a known code means; None if none has."""
    for each in objects:
        if not isinstance(each, dict):
            continue
        for name in _NAMES:
            if (status := _of_code(name, each.get(name))) is not None:
                return status
        for name in _TYPES:
            if (status := _of_word(each.get(name))) is not None:
                return status
    return None


def _of_code(name: str, code: Any) -> int | None:
    if isinstance(code, int) and not isinstance(code, bool):
        known = _BY_FIELD.get(name, {}).get(code)
        text = str(code) if 0 <= code <= 999 else ""  # noqa: PLR2004 - an HTTP status
    elif isinstance(code, str):
        is_number = len(code) < 8 and code.isascii() and code.isdigit()  # noqa: PLR2004
        known = _BY_FIELD.get(name, {}).get(int(code)) if is_number else _of_word(code)
        text = code
    else:
        return None
    return int(text) if known is None and _STATUS.fullmatch(text) else known


def _of_word(word: Any) -> int | None:
    if not isinstance(word, str):
        return None
    return _WORDS.get(word.strip().rpartition("#")[2].lower().replace("-", "_").replace(" ", "_"))
