"""Swift with URLSession."""

from modelgates_server.docsite.samples.literals import JSON, Quotes
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = (
    "Needs Swift 5.5 or newer, on Linux 6.0; samples with NSMutableURLRequest and a completion "
    "handler are outdated."
)
_NETWORKING = ["#if canImport(FoundationNetworking)", "import FoundationNetworking", "#endif"]


def code(request: SampleRequest) -> str:
    """A main file that prints the answer."""
    lines = ["import Foundation", *_NETWORKING, ""]
    headers = request.typed_headers
    if headers:
        lines += [f"let headers = {_dictionary(headers)}", ""]
    lines += [
        f"var request = URLRequest(url: URL(string: {quote(request.full_url)})!)",
        f"request.httpMethod = {quote(request.method)}",
    ]
    if headers:
        lines.append("request.allHTTPHeaderFields = headers")
    if request.body is not None:
        lines.append(f"request.httpBody = Data({_raw(JSON.write(request.body))}.utf8)")
    lines += [
        "",
        "let (data, _) = try await URLSession.shared.data(for: request)",
        "print(String(decoding: data, as: UTF8.self))",
    ]
    return "\n".join(lines)


def _dictionary(texts: dict[str, str]) -> str:
    return f"[{', '.join(f'{quote(name)}: {quote(value)}' for name, value in texts.items())}]"


def _raw(text: str) -> str:
    """A raw string: quotes and backslashes mean nothing but beside as many # as stand around it."""
    around = "#"
    while f'"{around}' in text or f"\\{around}" in text:
        around += "#"
    return f'{around}"""\n{text}\n"""{around}'


quote = Quotes('"', lambda point: f"\\u{{{point:x}}}").quote
