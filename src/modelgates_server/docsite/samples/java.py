"""Java with Unirest."""

from modelgates_server.docsite.samples.literals import JSON, Quotes
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = (
    "Requires Java 15 or newer and Unirest 4 (kong.unirest.core), the package "
    "com.konghq:unirest-java-core. The packages com.mashape.unirest are outdated."
)
_BODY = " " * 8


def code(request: SampleRequest) -> str:
    """A class that prints the response, or throws the error. Text blocks need Java 15."""
    start = f"Unirest.{request.method.lower()}"
    calls = []
    if request.token:
        key = f'"Bearer " + System.getenv("{request.token}")'
        calls.append(f'      .header("Authorization", {key})')
    calls += [
        f"      .header({quote(name)}, {quote(value)})"
        for name, value in request.typed_headers.items()
    ]
    if request.body is not None:
        calls.append(f"      .body({_block(JSON.write(request.body, _BODY))})")
    return "\n".join(
        [
            "import kong.unirest.core.HttpResponse;",
            "import kong.unirest.core.Unirest;",
            "",
            "public class Main {",
            "  public static void main(String[] args) {",
            f"    HttpResponse<String> response = {start}({quote(request.full_url)})",
            *calls,
            "      .asString();",
            "",
            "    if (!response.isSuccess()) {",
            '      throw new RuntimeException(response.getStatus() + ": " + response.getBody());',
            "    }",
            "    System.out.println(response.getBody());",
            "  }",
            "}",
        ]
    )


def _block(text: str) -> str:
    """A text block; the indentation that all its lines share is not part of the text."""
    escaped = text.replace("\\", "\\\\")
    return f'"""\n{_BODY}{escaped}\n{_BODY}"""'


def _numbered(point: int) -> str:
    units = chr(point).encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


quote = Quotes('"', _numbered).quote
