"""Python with requests."""

from typing import Any

from modelgates_server.docsite.samples.literals import Notation, Quotes
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = "Needs the package requests (pip install requests)."
_WORDS = {True: "True", False: "False", None: "None"}


def code(request: SampleRequest) -> str:
    """A script that prints the answer."""
    lines = ["import requests", "", f"url = {quote(request.full_url)}", ""]
    arguments = ["url"]
    if request.body is not None:
        lines += [f"payload = {NOTATION.write(request.body, used=len('payload = '))}", ""]
        arguments.append("json=payload")
    if request.headers:
        lines += [f"headers = {NOTATION.write(request.headers, used=len('headers = '))}", ""]
        arguments.append("headers=headers")
    answer = "response.json()" if request.json_answer else "response.text"
    lines += [
        f"response = requests.{request.method.lower()}({', '.join(arguments)})",
        "",
        f"print({answer})",
    ]
    return "\n".join(lines)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    return _WORDS[value] if value is None or isinstance(value, bool) else repr(value)


quote = Quotes('"', lambda point: f"\\U{point:08x}").quote
NOTATION = Notation(scalar=_scalar, key=lambda name: f"{quote(name)}: ", step="    ", last=",")
