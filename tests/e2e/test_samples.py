"""The samples of the documentation, run against real servers as a reader runs them."""

import ast
import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from modelgates_server.docsite.samples import samples_of
from modelgates_server.docsite.samples.request import API_KEY
from tests.deadlines import http_client
from tests.e2e.samples.languages import LANGUAGES
from tests.e2e.samples.page import samples_on
from tests.e2e.samples.reader import METRICS_TOKEN, OPERATIONS, Reader
from tests.e2e.samples.recorder import ANSWER, recorder
from tests.server import RunningServer, running_server

TLS = Path(__file__).with_name("tls")
CERT, KEY = TLS / "cert.pem", TLS / "key.pem"
# URLSession trusts the authorities of the machine only, so that Swift is tested with `recorder`.
OVER_HTTPS = [language for language in LANGUAGES if language != "swift"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = {
        "MODELGATES_TLS_CERT": str(CERT),
        "MODELGATES_TLS_KEY": str(KEY),
        "MODELGATES_METRICS_TOKEN": METRICS_TOKEN,
    }
    with running_server(tmp_path_factory.mktemp("server"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    trusting = ssl.create_default_context(cafile=CERT)
    with http_client(verify=trusting) as client:
        yield client


@pytest.fixture(scope="module")
def shown(server: RunningServer, http: httpx.Client) -> dict[str, dict[str, str]]:
    """The samples on the page of each operation, by language."""
    index = http.get(f"{server.url}/llms.txt").text
    pages = re.findall(r"https://[^\s)]+/docs/api/api-reference/[^\s)]+/[^\s)]+(?=\.md\))", index)
    return {page.rpartition("/")[2]: samples_on(http.get(page).text) for page in pages}


@pytest.fixture
def reader(server: RunningServer, http: httpx.Client) -> Reader:
    return Reader(server, http)


def test_every_operation_has_a_page_with_its_samples(shown: dict[str, dict[str, str]]) -> None:
    assert set(shown) == set(OPERATIONS)
    for samples in shown.values():
        assert list(samples) == list(LANGUAGES)


@pytest.mark.parametrize("language", OVER_HTTPS)
def test_sample_prints_the_response_of_the_api(
    language: str,
    shown: dict[str, dict[str, str]],
    reader: Reader,
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    LANGUAGES[language].skip_without_tools()
    # Reads come first, so that each finds the account unchanged.
    ids = sorted(OPERATIONS, key=lambda each: OPERATIONS[each][1] != "get")
    responses = {each: reader.ask(each) for each in ids if OPERATIONS[each][1] == "get"}
    samples = [reader.fill(shown[each][language], each) for each in ids]
    printed = LANGUAGES[language].run(tmp_path, CERT, samples, reader.keys)
    for operation_id, text in zip(ids, printed, strict=True):
        with subtests.test(operation_id):
            if operation_id in responses:
                check_read(language, responses[operation_id], text)
            else:
                check_done(operation_id, value_of(language, text), reader)


@pytest.mark.parametrize("language", OVER_HTTPS)
def test_sample_fails_with_status_and_body_when_the_key_is_rejected(
    language: str, shown: dict[str, dict[str, str]], reader: Reader, tmp_path: Path
) -> None:
    LANGUAGES[language].skip_without_tools()
    sample = reader.fill(shown["get-credits"][language], "get-credits")
    keys = {**reader.keys, "MANAGEMENT_KEY": reader.customer.inference}
    with pytest.raises(AssertionError, match="Only management keys can perform") as failure:
        LANGUAGES[language].run(tmp_path, CERT, [sample], keys)
    assert "403" in str(failure.value)


def value_of(language: str, text: str) -> Any:
    """The JSON value that a sample printed; Python prints it as a literal."""
    return ast.literal_eval(text.strip()) if language == "python" else json.loads(text)


def check_read(language: str, expected: httpx.Response, printed: str) -> None:
    assert expected.status_code == 200, expected.text
    if expected.headers["content-type"] == "application/json":
        assert value_of(language, printed) == expected.json()
    elif expected.url.path == "/metrics":  # its figures change
        assert "modelgates_http_requests_total{" in printed
    else:
        assert printed.strip() == expected.text.strip()


def check_done(operation_id: str, result: Any, reader: Reader) -> None:
    """Asserts that the response is true: the change or the charge can be read."""
    changed, *deleted = reader.hashes
    match operation_id:
        case "create-key":
            assert reader.find_key(result["data"]["hash"]).json() == {"data": result["data"]}
        case "update-key":
            assert result["data"]["disabled"]
            assert reader.find_key(changed).json() == result
        case "delete-key" | "delete-key-by-id":
            assert result == {"deleted": True}
            gone = deleted[operation_id == "delete-key-by-id"]
            assert reader.find_key(gone).status_code == 404
        case "count-message-tokens":
            assert result["input_tokens"] > 0
        case _:
            assert reader.cost(result["id"]) == result["usage"]["cost"]


SEEN = (
    '\'"\\\\`$#{}%@&<>/ ${x} #{x} #$x #@x {$x} \\(x) \\#(x) \\u0041 \\n %s \'\'\' """ "#'
    " </script> éü漢😀"
)
UNSEEN = "\n\r\t\0\a\x7f\x85\u00a0\u200b\u2028\u2029\ufeff\U000e0001"
BODY = {
    "seen": SEEN,
    "unseen": UNSEEN,
    SEEN: {"unseen": [UNSEEN, UNSEEN * 9]},
    UNSEEN: 1,
    "numbers": [0, -1, 1.5, 0.000000123456, 9007199254740991, -1e300],
    "others": [None, True, False, "", [], {}, [[]], [{}]],
    "counted": {"0": "a", "1": "b"},
    "__proto__": {"x": 1},
    "long": {f"key {number}": ["a" * number] for number in range(20)},
}
REQUIRED = 'it\'s "so" \\ $5 #{x} \\(x) `'
VALUE = "a b ü'(x)$x#{x}?"
EVERYTHING: dict[str, Any] = {
    "paths": {
        "/{place}/end": {
            "post": {
                "parameters": [
                    {"name": "place", "in": "path", "required": True, "example": VALUE},
                    {"name": "a b", "in": "query", "required": True, "example": VALUE},
                    {"name": "X-Required", "in": "header", "required": True, "example": REQUIRED},
                    {"name": "X-Other", "in": "header", "example": "not required"},
                ],
                "security": [{"apiKey": []}],
                "requestBody": {"content": {"application/json": {"example": BODY}}},
                "responses": {"200": {"content": {"application/json": {}}}},
            }
        }
    }
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_sample_sends_every_character_unchanged(language: str, tmp_path: Path) -> None:
    LANGUAGES[language].skip_without_tools()
    with recorder() as (url, received):
        document = {**EVERYTHING, "servers": [{"url": f"{url}/base"}]}
        samples = samples_of(document, "/{place}/end", "post")
        code = next(sample.code for sample in samples if sample.language == language)
        keys = {API_KEY: "key-of-the-environment"}
        (printed,) = LANGUAGES[language].run(tmp_path, CERT, [f"{code}\n"], keys)
    assert value_of(language, printed) == ANSWER
    (request,) = received
    target = urlsplit(request.target)
    assert unquote(target.path) == f"/base/{VALUE}/end"
    assert parse_qs(target.query) == {"a b": [VALUE]}
    assert request.headers["authorization"] == "Bearer key-of-the-environment"
    assert request.headers["content-type"].startswith("application/json")
    assert request.headers["x-required"] == REQUIRED
    assert "x-other" not in request.headers
    assert request.body == BODY
