"""Go with net/http."""

from modelgates_server.docsite.samples.literals import JSON, Quotes
from modelgates_server.docsite.samples.request import SampleRequest

NOTE = "Requires only the standard library."


def code(request: SampleRequest) -> str:
    """A program that prints the response, or exits with the error."""
    imports = ["fmt", "io", "log", "net/http"]
    imports += ["os"] if request.token else []
    imports += ["strings"] if request.body is not None else []
    lines = ["package main", "", "import (", *(f'\t"{name}"' for name in imports), ")", ""]
    lines += ["func main() {", f"\turl := {quote(request.full_url)}", ""]
    payload = "nil"
    if request.body is not None:
        payload = "payload"
        lines += [f"\tpayload := strings.NewReader({_raw(JSON.write(request.body, used=32))})", ""]
    lines += [f"\treq, err := http.NewRequest({quote(request.method)}, url, {payload})", *_CHECK]
    if request.token:
        lines.append(f'\treq.Header.Add("Authorization", "Bearer "+os.Getenv("{request.token}"))')
    lines += [
        f"\treq.Header.Add({quote(name)}, {quote(value)})"
        for name, value in request.typed_headers.items()
    ]
    return "\n".join([*lines, *_REST])


def _raw(text: str) -> str:
    """A raw string, which cannot contain a backquote; otherwise a quoted one."""
    return quote(text) if "`" in text else f"`{text}`"


quote = Quotes('"', lambda point: f"\\U{point:08x}").quote
_CHECK = ["\tif err != nil {", "\t\tlog.Fatal(err)", "\t}"]
_REST = [
    "",
    "\tres, err := http.DefaultClient.Do(req)",
    *_CHECK,
    "\tdefer res.Body.Close()",
    "",
    "\tbody, err := io.ReadAll(res.Body)",
    *_CHECK,
    "\tif res.StatusCode >= 300 {",
    '\t\tlog.Fatalf("%s: %s", res.Status, body)',
    "\t}",
    "\tfmt.Println(string(body))",
    "}",
]
