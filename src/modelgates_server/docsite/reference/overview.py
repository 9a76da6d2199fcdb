"""The first page of the reference: the rules of the API, its operations and its errors."""

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.reference.links import Links
from modelgates_server.docsite.reference.operations import Example, Operation
from modelgates_server.docsite.samples.request import API_KEY
from modelgates_server.docsite.schemas import Schema

PATH = "api/api-reference/overview"
TITLE = "API overview"
DESCRIPTION = "The base URL, the kinds of keys, all operations and all errors of the API."

_GUIDES = f"{ORIGIN}/docs/guides"
_KEYS = f"{_GUIDES}/overview/auth/management-api-keys"
_COMMON_TAGS = 3
"""An error is common if operations of at least this many tags return it."""


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
        f"The paths of the API are below `{api}`. Paths of the server itself, such as `/healthz`, "
        f"are below `{ORIGIN}`. The OpenAPI document describes the whole API, "
        f"[as JSON]({ORIGIN}/docs/openapi.json) and [as YAML]({ORIGIN}/docs/openapi.yaml)."
    )
    yield "## Requests and responses"
    yield from conventions


def _authentication(document: Schema, operations: list[Operation]) -> Iterator[str]:
    yield "## Authentication"
    yield (
        "Send a key as a bearer token. Each key has one kind, which decides the operations that it "
        "may call. "
        f"[Authentication and keys]({_KEYS}) shows how to create keys."
    )
    url = next(operation.url for operation in operations if operation.kinds)
    yield f'```sh\ncurl {url} \\\n  -H "Authorization: Bearer ${API_KEY}"\n```'
    kinds = document["x-key-kinds"].items()
    yield _table(("Kind", "Use"), ((f"**{name}**", text) for name, text in kinds))


def _operations(operations: list[Operation], kinds: Iterable[str]) -> Iterator[str]:
    yield "## Operations"
    yield "The last column names the kinds of keys that may call an operation."
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
        return "no API key, but the metrics token"
    if not operation.kinds:
        return "none needed"
    return "any" if set(operation.kinds) == set(kinds) else ", ".join(operation.kinds)


def _errors(operations: list[Operation], links: Links) -> Iterator[str]:
    yield "## Errors"
    yield (
        "Errors that many operations share come first, then those of one or a few operations. Each "
        "cause links to an example of the full error response. "
        "The errors that any request can get are in "
        "[Requests and responses](#requests-and-responses). "
        f"[Errors]({_GUIDES}/errors) explains which requests to retry, and how."
    )
    returned = dict[tuple[int, str], list[Operation]]()
    for operation in operations:
        for status, _, example in _errors_of(operation):
            returned.setdefault((status, example.summary), []).append(operation)
    common = {
        error
        for error, by in returned.items()
        if len({operation.tag.slug for operation in by}) >= _COMMON_TAGS
    }
    yield "### Common errors"
    ordered = sorted((error for error in returned if error in common), key=lambda error: error[0])
    first = {error: returned[error][0] for error in ordered}
    yield _error_table([(operation, {error}) for error, operation in first.items()], links)
    groups = dict[frozenset[tuple[int, str]], list[Operation]]()
    for operation in operations:
        causes = {(status, example.summary) for status, _, example in _errors_of(operation)}
        groups.setdefault(frozenset(causes - common), []).append(operation)
    only_common = groups.pop(frozenset(), [])
    for errors, sharing in groups.items():
        # The last word keeps the page of the operation before this heading in a search.
        yield f"### {', '.join(operation.title for operation in sharing)}: errors"
        yield _error_table([(sharing[0], errors)], links)
        yield "\n".join(f"- {_shared(operation, common)}" for operation in sharing)
    yield "### Other operations"
    yield "\n".join(f"- {_shared(operation, common)}" for operation in only_common)


def _errors_of(operation: Operation) -> Iterator[tuple[int, str, Example]]:
    for answer in operation.errors:
        for row, example in answer.errors:
            yield answer.status, row, example


def _error_table(listed: list[tuple[Operation, Collection[tuple[int, str]]]], links: Links) -> str:
    """The rows of these errors, each linked to its row on the page of the operation with it."""
    rows = (
        (
            str(status),
            f"[{example.summary}]({ORIGIN}/docs/{operation.page}#{row})",
            links.put(example.remedy, PATH),
        )
        for operation, errors in listed
        for status, row, example in _errors_of(operation)
        if (status, example.summary) in errors
    )
    return _table(("Status", "Cause", "Remedy"), rows)


def _shared(operation: Operation, common: set[tuple[int, str]]) -> str:
    """The operation, with the statuses of its common errors."""
    page = f"{ORIGIN}/docs/{operation.page}"
    errors = _errors_of(operation)
    statuses = dict.fromkeys(
        status for status, _, example in errors if (status, example.summary) in common
    )
    shared = ", ".join(f"[{status}]({page}#status-{status})" for status in statuses)
    return f"[{operation.title}]({page}): common errors {shared or 'none'}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
