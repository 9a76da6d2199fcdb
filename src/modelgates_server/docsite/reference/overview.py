"""The first page of the reference: what all operations have in common, and which there are."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.reference.links import Links
from modelgates_server.docsite.reference.operations import Operation
from modelgates_server.docsite.schemas import Schema

PATH = "api/api-reference/overview"
TITLE = "API overview"
DESCRIPTION = "The base URL, the kinds of keys, all errors and all operations of the API."

_GUIDES = f"{ORIGIN}/docs/guides"
_KEYS = f"{_GUIDES}/overview/auth/management-api-keys"


def body(document: Schema, operations: list[Operation], links: Links) -> str:
    """The page as Markdown, without its title."""
    return "\n\n".join(
        [
            DESCRIPTION,
            *_base(document),
            *_authentication(document, operations),
            *_operations(operations, document["x-key-kinds"]),
            *_errors(operations, links),
        ]
    )


def _base(document: Schema) -> Iterator[str]:
    api = document["servers"][0]["url"]
    about, *conventions = document["info"]["description"].strip().split("\n\n")
    yield about
    yield "## Base URL"
    yield (
        f"Paths are below `{api}`; those of the server itself, such as `/healthz`, are below "
        f"`{ORIGIN}`. The whole API in one file: [OpenAPI as JSON]({ORIGIN}/docs/openapi.json), or "
        f"[as YAML]({ORIGIN}/docs/openapi.yaml)."
    )
    yield "## Requests and answers"
    yield from conventions


def _authentication(document: Schema, operations: list[Operation]) -> Iterator[str]:
    yield "## Authentication"
    yield (
        "Send a key as a bearer token. Each key is of one kind, which says what it may do; "
        f"[Authentication and keys]({_KEYS}) has the whole story."
    )
    url = next(operation.url for operation in operations if operation.kinds)
    yield f'```sh\ncurl {url} -H "Authorization: Bearer $MODELGATES_KEY"\n```'
    kinds = document["x-key-kinds"].items()
    yield _table(("Kind", "What it is for"), ((f"**{name}**", text) for name, text in kinds))


def _operations(operations: list[Operation], kinds: Iterable[str]) -> Iterator[str]:
    yield "## Operations"
    yield "What is open needs no key."
    for tag, of_it in groupby(operations, lambda operation: operation.tag):
        yield f"### {tag.name}"
        yield f"{tag.description}."
        rows = (
            (
                f"[{operation.title}]({ORIGIN}/docs/{operation.page})",
                f"`{operation.method} {operation.path}`",
                _who(operation, kinds),
            )
            for operation in of_it
        )
        yield _table(("Operation", "Request", "Keys"), rows)


def _who(operation: Operation, kinds: Iterable[str]) -> str:
    if operation.token:
        return "a token of its own"
    if not operation.kinds:
        return "open"
    return "any" if set(operation.kinds) == set(kinds) else ", ".join(operation.kinds)


def _errors(operations: list[Operation], links: Links) -> Iterator[str]:
    yield "## Errors"
    yield (
        "Each operation has its errors on its page; these are all there are, with what to do. "
        f"Which of them to send again, and how, is in [Errors]({_GUIDES}/errors)."
    )
    rows = dict[tuple[int, str], tuple[str, ...]]()
    for operation in operations:
        for answer in operation.answers:
            for example in (e for content in answer.contents for e in content.examples):
                if answer.is_error:
                    row = (str(answer.status), example.summary, example.remedy)
                    rows.setdefault((answer.status, example.summary), row)
    ordered = sorted(rows, key=lambda error: error[0])
    cells = ([links.put(cell, PATH) for cell in rows[error]] for error in ordered)
    yield _table(("Status", "Cause", "What to do"), cells)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
