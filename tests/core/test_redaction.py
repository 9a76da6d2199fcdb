"""Secrets are found in every encoding, and nothing else is touched."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.redaction import NO_SECRETS, REDACTED, Redactor

SECRET = "sk-proj-AbCdEf0123456789_-XyZtUvWw"
REDACTOR = Redactor([SECRET])


def escaped(text: str) -> str:
    """Every character as an escape of JSON."""
    return "".join(f"\\u{ord(each):04x}" for each in text)


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS = {
    "plain": SECRET,
    "upper case": SECRET.upper(),
    "beginning": SECRET[:8],
    "half": SECRET[:20],
    "middle": SECRET[8:26],
    "escaped": escaped(SECRET),
    "partly escaped": "\\u0073" + SECRET[1:],
    "escaped twice": escaped(SECRET).replace("\\", "\\\\"),
    "escaped with escaped backslashes": escaped(SECRET).replace("\\", "\\u005c"),
    "escaped with backslashes for URLs": escaped(SECRET).replace("\\", "%5C"),
    "URL in an escape": "".join(f"\\u0025{ord(each):02x}" for each in SECRET),
    "HTML twice": "".join(f"&amp;#{ord(each)};" for each in SECRET),
    "escaped in braces": "".join(f"\\u{{{ord(each):x}}}" for each in SECRET),
    "escaped with eight digits": "".join(f"\\U{ord(each):08x}" for each in SECRET),
    "hexadecimal with colons": SECRET.encode().hex(":"),
    "hexadecimal with spaces": SECRET.encode().hex(" "),
    "escaped for Python": "\\x73" + SECRET[1:],
    "URL": "".join(f"%{ord(each):02X}" for each in SECRET),
    "URL twice": "".join(f"%25{ord(each):02x}" for each in SECRET),
    "HTML": "".join(f"&#{ord(each)};" for each in SECRET),
    "HTML in hexadecimal": "".join(f"&#x{ord(each):x};" for each in SECRET),
    "base64": in_base64(SECRET),
    "base64 after one byte": in_base64("x" + SECRET),
    "base64 of a header": in_base64(f"Bearer {SECRET}"),
    "base64 for URLs": base64.urlsafe_b64encode(f"\xff:{SECRET}".encode("latin-1")).decode(),
    "UTF-16": SECRET.encode("utf-16-le").decode(),
    "hexadecimal": SECRET.encode().hex(),
    "masked": "sk-AbC...UvWw".replace("AbC", SECRET[3:6]),
    "masked with stars": f"{SECRET[:10]}**********{SECRET[-4:]}",
    "masked with an ellipsis": f"{SECRET[:6]}…{SECRET[-4:]}",
    "masked with an escaped ellipsis": f"{SECRET[:6]}\\u2026{SECRET[-4:]}",
    "end behind a mask": f"****{SECRET[-4:]}",
}


@pytest.mark.parametrize("shown", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_secret_is_redacted_in_an_error(shown: str) -> None:
    redacted = REDACTOR.text(f"Incorrect key: {shown}, said the server.")
    assert redacted.startswith("Incorrect key: ")
    assert redacted.endswith(", said the server.")
    rest = redacted.removeprefix("Incorrect key: ").removesuffix(", said the server.")
    assert REDACTED in rest
    # Of base64, the characters that also encode what is next to the secret remain.
    assert len(rest.replace(REDACTED, "")) <= 12
    assert SECRET[3:6] not in rest
    assert SECRET[-4:] not in rest


@pytest.mark.parametrize("name", ["plain", "half", "middle", "escaped", "partly escaped"])
def test_secret_is_redacted_in_a_sound_response(name: str) -> None:
    shown = ENCODINGS[name]
    payload = f'{{"model": "{shown}", "n": 1}}'.encode()
    is_found = name != "middle"
    expected = {"model": REDACTED if is_found else shown, "n": 1}
    assert json.loads(REDACTOR.clean(payload)) == expected
    assert json.loads(REDACTOR.data(payload)) == {"model": REDACTED, "n": 1}


@pytest.mark.parametrize("name", ["base64", "base64 of a header", "hexadecimal", "URL", "HTML"])
def test_encoded_secret_is_redacted_in_the_words_of_a_sound_response(name: str) -> None:
    words = json.dumps([ENCODINGS[name]]).encode()
    assert REDACTED.encode() in REDACTOR.clean_words(words)


@pytest.mark.parametrize(
    "text",
    [
        "A key starts with sk-proj- and is masked as sk-...",
        "sk-learn... and sk-proj-OtherKey0123456789",
        "",
        "\\u0022 a < b & c \\u003c 100%20",
        "你好 \\n é \U0001f600",
    ],
)
def test_sound_response_about_keys_is_not_changed(text: str) -> None:
    payload = json.dumps({"text": text}).encode()
    assert REDACTOR.clean(payload) is payload
    assert REDACTOR.clean_words(payload) == payload


def test_short_values_are_no_secrets() -> None:
    assert Redactor(["EMPTY", "ollama", ""]).text("ollama is EMPTY") == "ollama is EMPTY"


def test_secret_of_eight_characters_is_redacted_in_errors_only() -> None:
    short = Redactor(["lm-studio"])
    assert short.text("key lm-studio") == f"key {REDACTED}"
    assert short.clean(b'"lm-studio"') == b'"lm-studio"'


def test_nothing_is_redacted_without_secrets() -> None:
    for encoded in ENCODINGS.values():
        assert NO_SECRETS.text(encoded) == encoded
        assert NO_SECRETS.value({"a": [encoded]}) == {"a": [encoded]}
        assert NO_SECRETS.clean_words(encoded.encode()) == encoded.encode()


def test_texts_in_a_value_are_redacted_and_cut() -> None:
    value = {SECRET: [SECRET, 1, None, {"a": "x" * 100_000}], "\ud800": "\ud800"}
    redacted = REDACTOR.value(value)
    assert redacted[REDACTED][:3] == [REDACTED, 1, None]
    assert len(redacted[REDACTED][3]["a"]) < 100_000
    assert redacted["\ud800"] == "\ud800"


def test_secret_that_looks_like_escapes_is_redacted() -> None:
    secret = "ab:cd:ef:01:%41%42%43:de:ad:be:ef:00"
    assert Redactor([secret]).text(f"Key {secret}, said the server.") == (
        f"Key {REDACTED}, said the server."
    )


def test_repr_shows_no_secret() -> None:
    assert repr(REDACTOR) == "Redactor(…)"


_KEYS = st.text("abcXYZ019_-./+=:%", min_size=24, max_size=80)


@given(_KEYS, _KEYS, st.integers(0, 5), st.sampled_from([str, escaped, quote, in_base64]))
def test_any_secret_is_found_between_any_text(
    secret: str, around: str, count: int, encode: object
) -> None:
    assert callable(encode)
    shown = json.dumps(around + secret * count) if encode is str else f'"{encode(secret)}"'
    redacted = Redactor([secret]).data(shown.encode()).decode()
    decoded = json.loads(redacted)
    assert secret not in decoded
    assert in_base64(secret)[:-4] not in redacted
    if encode is not str or count:
        assert REDACTED in redacted


@given(st.binary(max_size=200))
def test_bytes_without_the_secret_are_not_changed(data: bytes) -> None:
    assert Redactor(["q" * 40]).data(data) == data
