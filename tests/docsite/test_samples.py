"""The samples of all operations, and of `GET /credits` beside those of the seed."""

import re

import pytest
import tree_sitter_c_sharp
import tree_sitter_swift
from pygments.lexers import get_lexer_by_name

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.samples import samples_of
from tests.docsite.samples import grammar

DOCUMENT = document_at(ORIGIN)
OPERATIONS = [
    (path, method)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if isinstance(operation, dict)
]
LANGUAGES = ["python", "javascript", "go", "ruby", "java", "php", "csharp", "swift"]
CREDITS = {sample.language: sample for sample in samples_of(DOCUMENT, "/credits", "get")}
# As the seed has them, which lost its line breaks.
SEED = {
    "python": """import requests url = "https://modelgates.ai/api/v1/credits" headers =
        {"Authorization": "Bearer <token>"} response = requests.get(url, headers=headers)
        print(response.json())""",
    "javascript": """const url = 'https://modelgates.ai/api/v1/credits';const options = {method:
        'GET', headers: {Authorization: 'Bearer <token>'}}; try {  const response = await fetch(url,
        options);  const data = await response.json();  console.log(data);} catch (error) {
        console.error(error);}""",
    "ruby": """require 'uri'require 'net/http' url =
        URI("https://modelgates.ai/api/v1/credits") http = Net::HTTP.new(url.host,
        url.port)http.use_ssl = true request =
        Net::HTTP::Get.new(url)request["Authorization"] = 'Bearer <token>' response =
        http.request(request)puts response.read_body""",
    "php": """<?phprequire_once('vendor/autoload.php'); $client = new \\GuzzleHttp\\Client();
        $response = $client->request('GET', 'https://modelgates.ai/api/v1/credits', [
        'headers' => [  'Authorization' => 'Bearer <token>',  ],]); echo $response->getBody();""",
}


def test_there_are_eight_of_every_operation(subtests: pytest.Subtests) -> None:
    assert len(OPERATIONS) > 20
    for path, method in OPERATIONS:
        with subtests.test(f"{method} {path}"):
            samples = samples_of(DOCUMENT, path, method)
            assert [sample.language for sample in samples] == LANGUAGES
            for sample in samples:
                assert f"{ORIGIN}/" in sample.code
                assert not re.search(r"\{(hash|author|slug)\}", sample.code)
                assert not re.search(r"[ \t]$", sample.code, re.MULTILINE)


def test_a_highlighter_and_people_know_the_language() -> None:
    for sample in CREDITS.values():
        assert get_lexer_by_name(sample.highlight).name == sample.label
        assert re.fullmatch(r"[A-Z][^<>`]*[^.]\.", sample.note), "one sentence of plain text"


@pytest.mark.parametrize("language", SEED)
def test_a_library_that_is_as_it_was_is_called_as_in_the_seed(language: str) -> None:
    ours = CREDITS[language].code.replace(ORIGIN, "https://modelgates.ai")
    # Plain HTTP as well, for who tries it on their own machine.
    ours = ours.replace('use_ssl = url.scheme == "https"', "use_ssl = true")
    assert re.sub(r"\s", "", ours) == re.sub(r"\s", "", SEED[language])


@pytest.mark.parametrize(
    ("language", "library", "outdated"),
    [
        ("go", '"net/http"', "req, _ :="),
        ("java", "import kong.unirest.core.Unirest;", "com.mashape"),
        ("csharp", "using RestSharp;", "IRestResponse"),
        ("csharp", "new RestRequest(", "Method.GET"),
        ("swift", "URLSession.shared", "NSMutableURLRequest"),
    ],
)
def test_a_library_that_has_changed_is_called_as_of_today(
    language: str, library: str, outdated: str
) -> None:
    assert library in CREDITS[language].code
    assert outdated not in CREDITS[language].code


@pytest.mark.parametrize("language", ["java", "csharp", "swift"])
def test_an_outdated_spelling_is_told(language: str) -> None:
    assert "outdated" in CREDITS[language].note


def test_csharp_and_swift_are_free_of_mistakes(subtests: pytest.Subtests) -> None:
    grammars = {"csharp": tree_sitter_c_sharp.language, "swift": tree_sitter_swift.language}
    for path, method in OPERATIONS:
        for sample in samples_of(DOCUMENT, path, method):
            if sample.language in grammars:
                with subtests.test(f"{method} {path} {sample.label}"):
                    assert grammar.nodes(grammars[sample.language], sample.code)
