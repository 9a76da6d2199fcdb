"""The samples of all operations."""

import re

import pytest
import tree_sitter_c_sharp
import tree_sitter_swift
from pygments.lexers import get_lexer_by_name

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.samples import samples_of
from modelgates_server.docsite.samples.request import request_of
from tests.docsite.samples import grammar

DOCUMENT = document_at(ORIGIN)
OPERATIONS = [
    (path, method)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if isinstance(operation, dict)
]
LANGUAGES = ["curl", "python", "javascript", "go", "ruby", "java", "php", "csharp", "swift"]
CREDITS = {sample.language: sample for sample in samples_of(DOCUMENT, "/credits", "get")}


def test_every_operation_has_a_sample_in_each_language(subtests: pytest.Subtests) -> None:
    assert len(OPERATIONS) > 20
    for path, method in OPERATIONS:
        with subtests.test(f"{method} {path}"):
            samples = samples_of(DOCUMENT, path, method)
            assert [sample.language for sample in samples] == LANGUAGES
            for sample in samples:
                assert f"{ORIGIN}/" in sample.code
                assert not re.search(r"\{(hash|author|slug)\}", sample.code)
                assert not re.search(r"[ \t]$", sample.code, re.MULTILINE)


def test_sample_names_its_language_and_what_it_needs() -> None:
    for sample in CREDITS.values():
        lexer = get_lexer_by_name(sample.highlight).name
        assert (sample.label, lexer) == ("cURL", "Bash") or sample.label == lexer
        assert re.fullmatch(r"[A-Z][^<>`]*[^.]\.", sample.note), "one sentence of plain text"


STATUS_CHECKS = {
    "curl": "--fail-with-body",
    "python": "if not response.ok:",
    "javascript": "if (!response.ok) {",
    "go": "if res.StatusCode >= 300 {",
    "ruby": "unless response.is_a?(Net::HTTPSuccess)",
    "java": "if (!response.isSuccess()) {",
    "php": "if ($response->getStatusCode() >= 300) {",
    "csharp": "if (!response.IsSuccessful)",
    "swift": "guard status < 300 else {",
}


def test_sample_reads_the_key_from_the_environment_and_checks_the_status(
    subtests: pytest.Subtests,
) -> None:
    for path, method in OPERATIONS:
        request = request_of(DOCUMENT, path, method)
        for sample in samples_of(DOCUMENT, path, method):
            with subtests.test(f"{method} {path} {sample.label}"):
                assert sample.code.count("MODELGATES_") == bool(request.token)
                assert request.token in sample.code
                assert "sk-mg-" not in sample.code
                assert "<token>" not in sample.code
                assert STATUS_CHECKS[sample.language] in sample.code


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
def test_sample_uses_the_present_version_of_its_library(
    language: str, library: str, outdated: str
) -> None:
    assert library in CREDITS[language].code
    assert outdated not in CREDITS[language].code


@pytest.mark.parametrize("language", ["java", "csharp", "swift"])
def test_note_names_the_outdated_spelling(language: str) -> None:
    assert "outdated" in CREDITS[language].note


def test_csharp_and_swift_have_no_syntax_errors(subtests: pytest.Subtests) -> None:
    grammars = {"csharp": tree_sitter_c_sharp.language, "swift": tree_sitter_swift.language}
    for path, method in OPERATIONS:
        for sample in samples_of(DOCUMENT, path, method):
            if sample.language in grammars:
                with subtests.test(f"{method} {path} {sample.label}"):
                    assert grammar.nodes(grammars[sample.language], sample.code)
