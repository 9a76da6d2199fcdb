"""Swift with URLSession."""

from modelgates_server.docsite.samples.literals import JSON, Quotes
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = (
    "Requires Swift 5.5 or newer (6.0 on Linux). NSMutableURLRequest with a completion handler is "
    "outdated."
)
_NETWORKING = ["#if canImport(FoundationNetworking)", "import FoundationNetworking", "#endif"]


def code(request: SampleRequest) -> str:
    """A main file that prints the response, or stops with the error."""
    lines = ["import Foundation", *_NETWORKING, ""]
    if request.token:
        lines += [f'let key = ProcessInfo.processInfo.environment["{request.token}"] ?? ""', ""]
    lines += [
        f"var request = URLRequest(url: URL(string: {quote(request.full_url)})!)",
        f"request.httpMethod = {quote(request.method)}",
    ]
    if request.token:
        lines.append('request.setValue("Bearer " + key, forHTTPHeaderField: "Authorization")')
    lines += [
        f"request.setValue({quote(text)}, forHTTPHeaderField: {quote(name)})"
        for name, text in request.typed_headers.items()
    ]
    if request.body is not None:
        lines.append(f"request.httpBody = Data({_raw(JSON.write(request.body))}.utf8)")
    lines += [
        "",
        "let (data, response) = try await URLSession.shared.data(for: request)",
        "let text = String(decoding: data, as: UTF8.self)",
        "let status = (response as! HTTPURLResponse).statusCode",
        "guard status < 300 else {",
        '    fatalError("\\(status): \\(text)")',
        "}",
        "print(text)",
    ]
    return "\n".join(lines)


def _raw(text: str) -> str:
    """A raw string, with enough # around it that no quote or backslash in it has a meaning."""
    around = "#"
    while f'"{around}' in text or f"\\{around}" in text:
        around += "#"
    return f'{around}"""\n{text}\n"""{around}'


quote = Quotes('"', lambda point: f"\\u{{{point:x}}}").quote
