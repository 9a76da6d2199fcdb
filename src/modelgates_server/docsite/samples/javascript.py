"""JavaScript with fetch."""

import re
from typing import Any

from modelgates_server.docsite.samples.literals import Notation, Quotes, json_scalar
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = (
    "Runs as a module in Node 18 or newer. Never put an inference or management key into code that "
    "runs in a browser: every visitor could read it."
)
_NAME = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def code(request: SampleRequest) -> str:
    """A module that prints the response, or throws the error."""
    answer = "json" if request.json_answer else "text"
    return f"""\
const url = {quote(request.full_url)};
const options = {_options(request)};

const response = await fetch(url, options);
if (!response.ok) {{
  throw new Error(`${{response.status}}: ${{await response.text()}}`);
}}
const data = await response.{answer}();
console.log(data);"""


def _options(request: SampleRequest) -> str:
    options = [f"method: {quote(request.method)}"]
    if headers := _headers(request):
        options.append(f"headers: {headers}")
    if request.body is None and len(options) == 1:
        return "{" + options[0] + "}"
    if request.body is None:
        return "{\n  " + ",\n  ".join(options) + "\n}"
    start = "body: JSON.stringify("
    options.append(f"{start}{NOTATION.write(request.body, '  ', len(start))})")
    return "{\n  " + ",\n  ".join(options) + "\n}"


def _headers(request: SampleRequest) -> str:
    items = [f"{_key(name)}{quote(text)}" for name, text in request.typed_headers.items()]
    if request.token:
        items.insert(0, f"Authorization: `Bearer ${{process.env.{request.token}}}`")
    if len(items) > 1:
        return "{\n    " + ",\n    ".join(items) + "\n  }"
    return f"{{{items[0]}}}" if items else ""


def _key(name: str) -> str:
    if name == "__proto__":
        return f"[{quote(name)}]: "  # without the brackets it would set the prototype
    return f"{name if _NAME.fullmatch(name) else quote(name)}: "


def _scalar(value: Any) -> str:
    return quote(value) if isinstance(value, str) else json_scalar(value)


quote = Quotes("'", lambda point: f"\\u{{{point:x}}}").quote
NOTATION = Notation(scalar=_scalar, key=_key)
