"""Ruby with net/http from the standard library."""

from typing import Any

from modelgates_server.docsite.samples.literals import (
    Notation,
    Quotes,
    curly_and_square,
    json_scalar,
)
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = "Requires only the standard library."


def code(request: SampleRequest) -> str:
    """A script that prints the response, or aborts with the error."""
    libraries = ["uri", "net/http"] + (["json"] if request.body is not None else [])
    lines = [
        *(f"require '{library}'" for library in libraries),
        "",
        f"url = URI({_double(request.full_url)})",
        "",
        "http = Net::HTTP.new(url.host, url.port)",
        'http.use_ssl = url.scheme == "https"',
        "",
        f"request = Net::HTTP::{request.method.capitalize()}.new(url)",
        *_authorization(request),
        *(
            f"request[{_double(name)}] = {quote(value)}"
            for name, value in request.typed_headers.items()
        ),
    ]
    if request.body is not None:
        start = "request.body = JSON.generate("
        lines.append(f"{start}{NOTATION.write(request.body, used=len(start))})")
    lines += [
        "",
        "response = http.request(request)",
        'abort "#{response.code}: #{response.body}" unless response.is_a?(Net::HTTPSuccess)',
        "puts response.body",
    ]
    return "\n".join(lines)


def _authorization(request: SampleRequest) -> list[str]:
    text = f"\"Bearer #{{ENV.fetch('{request.token}')}}\""
    return [f'request["Authorization"] = {text}'] if request.token else []


def quote(text: str) -> str:
    """Single quotes, in which `#{` means nothing, unless a character cannot be seen."""
    return _single(text) if text.isprintable() else _double(text)


def _scalar(value: Any) -> str:
    if value is None:
        return "nil"
    return quote(value) if isinstance(value, str) else json_scalar(value)


def _brackets(value: Any) -> tuple[str, str]:
    return ("{ ", " }") if value and isinstance(value, dict) else curly_and_square(value)


def _numbered(point: int) -> str:
    return f"\\u{{{point:x}}}"


_single = Quotes("'", _numbered).quote
# Every interpolation starts with it: #{a}, #$a, #@a.
_double = Quotes('"', _numbered, {"#": r"\#"}).quote
NOTATION = Notation(scalar=_scalar, key=lambda name: f"{quote(name)} => ", brackets=_brackets)
