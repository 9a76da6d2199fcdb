"""C# with RestSharp."""

from modelgates_server.docsite.samples.literals import JSON, Quotes
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = (
    "Needs RestSharp 107 or newer and C# 11; samples with new RestRequest(Method.GET) and "
    "IRestResponse are of older, outdated versions."
)


def code(request: SampleRequest) -> str:
    """A program of top-level statements that prints the answer."""
    lines = [
        "using RestSharp;",
        "",
        f"var client = new RestClient({quote(request.url)});",
        f'var request = new RestRequest("", Method.{request.method.capitalize()});',
        *_calls("AddHeader", request.headers),
        *_calls("AddQueryParameter", request.query),
    ]
    if request.body is not None:
        # A raw string: nothing is escaped in it, and its first and last line ends do not count.
        text = JSON.write(request.body)
        lines += ['request.AddStringBody("""', *text.split("\n"), '""", DataFormat.Json);']
    lines += [
        "RestResponse response = await client.ExecuteAsync(request);",
        "",
        "Console.WriteLine(response.Content);",
    ]
    return "\n".join(lines)


def _calls(method: str, arguments: dict[str, str]) -> list[str]:
    return [
        f"request.{method}({quote(name)}, {quote(value)});" for name, value in arguments.items()
    ]


quote = Quotes('"', lambda point: f"\\U{point:08x}").quote
