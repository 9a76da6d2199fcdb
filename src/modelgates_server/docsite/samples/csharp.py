"""C# with RestSharp."""

from modelgates_server.docsite.samples.literals import JSON, Quotes
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = (
    "Requires RestSharp 107 or newer and C# 11. Code that uses RestRequest(Method.GET) or "
    "IRestResponse is for outdated versions of RestSharp."
)

_ERROR = '$"{(int)response.StatusCode}: {response.Content ?? response.ErrorMessage}"'


def code(request: SampleRequest) -> str:
    """A program of top-level statements that prints the response, or throws the error."""
    lines = [
        "using RestSharp;",
        "",
        f"var client = new RestClient({quote(request.url)});",
        f'var request = new RestRequest("", Method.{request.method.capitalize()});',
        *_authorization(request),
        *_calls("AddHeader", request.headers),
        *_calls("AddQueryParameter", request.query),
    ]
    if request.body is not None:
        # A raw string: it has no escapes, and its first and last line ends do not count.
        text = JSON.write(request.body)
        lines += ['request.AddStringBody("""', *text.split("\n"), '""", DataFormat.Json);']
    lines += [
        "RestResponse response = await client.ExecuteAsync(request);",
        "",
        "if (!response.IsSuccessful)",
        "{",
        f"    throw new Exception({_ERROR});",
        "}",
        "Console.WriteLine(response.Content);",
    ]
    return "\n".join(lines)


def _authorization(request: SampleRequest) -> list[str]:
    if not request.token:
        return []
    return [
        f'var key = Environment.GetEnvironmentVariable("{request.token}");',
        'request.AddHeader("Authorization", $"Bearer {key}");',
    ]


def _calls(method: str, arguments: dict[str, str]) -> list[str]:
    return [
        f"request.{method}({quote(name)}, {quote(value)});" for name, value in arguments.items()
    ]


quote = Quotes('"', lambda point: f"\\U{point:08x}").quote
