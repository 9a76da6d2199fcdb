"""PHP with Guzzle."""

from typing import Any

from modelgates_server.docsite.samples.literals import Notation, Quotes, json_scalar
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = "Requires Guzzle 7 (composer require guzzlehttp/guzzle)."


def code(request: SampleRequest) -> str:
    """A script that prints the response, or throws the error."""
    options = []
    headers = [f"    {quote(name)} => {quote(text)}," for name, text in request.headers.items()]
    if request.token:
        headers.insert(0, f"    'Authorization' => 'Bearer ' . getenv('{request.token}'),")
    if headers:
        options += ["  'headers' => [", *headers, "  ],"]
    if request.body is not None:
        start = "'json' => "
        options.append(f"  {start}{NOTATION.write(request.body, '  ', len(start))},")
    options.append("  'http_errors' => false,")
    call = f"$response = $client->request({quote(request.method)}, {quote(request.full_url)}"
    return "\n".join(
        [
            "<?php",
            "require_once('vendor/autoload.php');",
            "",
            "$client = new \\GuzzleHttp\\Client();",
            "",
            f"{call}, [",
            *options,
            "]);",
            "if ($response->getStatusCode() >= 300) {",
            "  $error = $response->getStatusCode() . ': ' . $response->getBody();",
            "  throw new RuntimeException($error);",
            "}",
            "echo $response->getBody();",
        ]
    )


def quote(text: str) -> str:
    """Single quotes, in which `$` means nothing, unless a character cannot be seen."""
    return _single(text) if text.isprintable() else _double(text)


def _scalar(value: Any) -> str:
    return quote(value) if isinstance(value, str) else json_scalar(value)


def _brackets(value: Any) -> tuple[str, str]:
    # An object without keys, or with the keys 0, 1, 2, would be sent as an array.
    ambiguous = isinstance(value, dict) and list(value) == [str(at) for at in range(len(value))]
    return ("(object) [" if ambiguous else "[", "]")


def _numbered(point: int) -> str:
    return f"\\u{{{point:x}}}"


_single = Quotes("'", _numbered).quote
_double = Quotes('"', _numbered, {"$": r"\$"}).quote
NOTATION = Notation(
    scalar=_scalar, key=lambda name: f"{quote(name)} => ", brackets=_brackets, last=","
)
