"""The command line with curl."""

from modelgates_server.docsite.samples.literals import JSON
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = "Requires curl 7.76 or newer. For an error status, it prints the response and exits with 22."


def code(request: SampleRequest) -> str:
    """A command that prints the response."""
    options = ["--fail-with-body"]
    if request.method != ("GET" if request.body is None else "POST"):
        options.append(f"-X {request.method}")
    if request.token:
        options.append(f'-H "Authorization: Bearer ${request.token}"')
    options += [f"-H {quote(f'{name}: {text}')}" for name, text in request.typed_headers.items()]
    if request.body is not None:
        options.append(f"-d {quote(JSON.write(request.body, used=len('  -d ')))}")
    return " \\\n  ".join([f"curl {_word(request.full_url)}", *options])


def quote(text: str) -> str:
    """A word of the shell in single quotes, in which only these have a meaning."""
    return "'" + text.replace("'", "'\\''") + "'"


def _word(url: str) -> str:
    """The URL, with quotes where a shell would read its query as something else."""
    return quote(url) if any(mark in url for mark in "?&'()*!~") else url
