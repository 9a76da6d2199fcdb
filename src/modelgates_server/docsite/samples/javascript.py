"""JavaScript with fetch."""

import re
from typing import Any

from modelgates_server.docsite.samples.literals import Notation, Quotes, json_scalar
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = "Runs as a module, in browsers and in Node 18 or newer."
_NAME = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def code(request: SampleRequest) -> str:
    """A module that prints the answer."""
    answer = "json" if request.json_answer else "text"
    return f"""\
const url = {quote(request.full_url)};
const options = {_options(request)};

try {{
  const response = await fetch(url, options);
  const data = await response.{answer}();
  console.log(data);
}} catch (error) {{
  console.error(error);
}}"""


def _options(request: SampleRequest) -> str:
    options = [f"method: {quote(request.method)}"]
    if request.typed_headers:
        options.append(f"headers: {NOTATION.write(request.typed_headers)}")
    if request.body is None:
        return "{" + ", ".join(options) + "}"
    start = "body: JSON.stringify("
    options.append(f"{start}{NOTATION.write(request.body, '  ', len(start))})")
    return "{\n  " + ",\n  ".join(options) + "\n}"


def _key(name: str) -> str:
    if name == "__proto__":
        return f"[{quote(name)}]: "  # without the brackets it would set the prototype
    return f"{name if _NAME.fullmatch(name) else quote(name)}: "


def _scalar(value: Any) -> str:
    return quote(value) if isinstance(value, str) else json_scalar(value)


quote = Quotes("'", lambda point: f"\\u{{{point:x}}}").quote
NOTATION = Notation(scalar=_scalar, key=_key)
