"""Python with requests."""

from typing import Any

from modelgates_server.docsite.samples.literals import Notation, Quotes
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = "Requires the package requests (pip install requests)."
_WORDS = {True: "True", False: "False", None: "None"}


def code(request: SampleRequest) -> str:
    """A script that prints the response, or exits with the error."""
    lines = ["import os", ""] if request.token else []
    lines += ["import requests", "", f"url = {quote(request.full_url)}"]
    arguments = ["url"]
    headers = _headers(request)
    if headers:
        lines += headers
        arguments.append("headers=headers")
    if request.body is not None:
        lines.append(f"payload = {NOTATION.write(request.body, used=len('payload = '))}")
        arguments.append("json=payload")
    body = "response.json()" if request.json_answer else "response.text"
    lines += [
        "",
        f"response = requests.{request.method.lower()}({', '.join(arguments)})",
        "if not response.ok:",
        '    raise SystemExit(f"{response.status_code}: {response.text}")',
        f"print({body})",
    ]
    return "\n".join(lines)


def _headers(request: SampleRequest) -> list[str]:
    items = [f"{quote(name)}: {quote(text)}" for name, text in request.headers.items()]
    if request.token:
        items.insert(0, f'"Authorization": f"Bearer {{os.environ[\'{request.token}\']}}"')
    if len(items) > 1:
        return ["headers = {", *(f"    {item}," for item in items), "}"]
    return [f"headers = {{{item}}}" for item in items]


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    return _WORDS[value] if value is None or isinstance(value, bool) else repr(value)


quote = Quotes('"', lambda point: f"\\U{point:08x}").quote
NOTATION = Notation(scalar=_scalar, key=lambda name: f"{quote(name)}: ", step="    ", last=",")
