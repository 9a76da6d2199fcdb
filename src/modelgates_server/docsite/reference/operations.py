"""The operations of the OpenAPI document, as the reference shows them."""

import json
import re
from collections.abc import Iterator
from http import HTTPMethod, HTTPStatus
from typing import Any

import msgspec
import yaml

from modelgates_server.docsite.schemas import (
    Schema,
    Shape,
    either,
    plain_number,
    resolved,
    shape_of,
)

JSON_TYPE = "application/json"

_VERBS = {verb.lower() for verb in HTTPMethod}
_EXPONENT = re.compile(r"(?<=[ \[])\d+(?:\.\d+)?e-\d+(?=,?$)", re.MULTILINE)
_LEXERS = {JSON_TYPE: "json", "application/yaml": "yaml"}


class Example(msgspec.Struct, frozen=True):
    """A body as it goes over the wire, in Pygments' `language`.

    `name` is its key in the document. In an example of an error, `summary` is the cause, `code` the
    stable code, and `message` and `reason` are those of the body. They are empty otherwise.
    """

    name: str
    summary: str
    text: str
    language: str
    code: str
    remedy: str
    message: str
    reason: str


class Content(msgspec.Struct, frozen=True):
    """A form of a body."""

    media_type: str
    shape: Shape
    examples: tuple[Example, ...]


class DescribedResponse(msgspec.Struct, frozen=True):
    """A response that an operation can have; `headers` are names and descriptions."""

    status: int
    phrase: str
    description: str
    headers: tuple[tuple[str, str], ...]
    contents: tuple[Content, ...]

    @property
    def is_error(self) -> bool:
        """Whether the request was rejected or failed."""
        return self.status >= HTTPStatus.BAD_REQUEST

    @property
    def errors(self) -> Iterator[tuple[str, Example]]:
        """The causes of an error, each with the id of its row on the page of the operation."""
        for example in (each for content in self.contents for each in content.examples):
            yield f"error-{self.status}-{example.name}", example


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the path, the query or the headers, which is its `location`.

    `choices` are all its values, or empty if they cannot be listed. `adds` are the fields that it
    adds to the response.
    """

    location: str
    shape: Shape
    example: str
    choices: tuple[str, ...]
    adds: tuple[Shape, ...]


class Tag(msgspec.Struct, frozen=True):
    """A group of operations; `name` is for people, `slug` for paths."""

    slug: str
    name: str
    description: str


class Operation(msgspec.Struct, frozen=True):
    """An operation. `path` is its key in the document, `url` its URL with the path parameters.

    `kinds` are the kinds of keys that may call it. An operation that takes another bearer token has
    none, and `token` describes that token. Required parameters come first.
    """

    id: str
    method: str
    path: str
    url: str
    page: str
    tag: Tag
    title: str
    description: str
    kinds: tuple[str, ...]
    token: str
    parameters: tuple[Parameter, ...]
    body: Content | None
    answers: tuple[DescribedResponse, ...]

    @property
    def credential(self) -> str:
        """The bearer token that the operation takes, for a sentence; empty if it takes none."""
        if self.kinds:
            article = "an" if self.kinds[0] == "inference" else "a"
            return f"{article} {either(self.kinds)} key"
        return "the metrics token" if self.token else ""

    @property
    def errors(self) -> list[DescribedResponse]:
        """The responses that are errors."""
        return [answer for answer in self.answers if answer.is_error]

    @property
    def error_bodies(self) -> list[tuple[list[int], Content]]:
        """The bodies of errors that have different fields, each with its statuses."""
        bodies = dict[tuple[Shape, ...], tuple[list[int], Content]]()
        for answer in self.errors:
            for content in answer.contents:
                statuses, _ = bodies.setdefault(content.shape.members, ([], content))
                statuses.append(answer.status)
        return [*bodies.values()]

    @property
    def error_headers(self) -> list[tuple[str, str]]:
        """The headers that errors can have, with their descriptions."""
        return [*dict.fromkeys(header for answer in self.errors for header in answer.headers)]


def operations_of(document: Schema) -> Iterator[Operation]:
    """All operations, grouped by their tags; the servers of `document` have absolute URLs."""
    for described in document["tags"]:
        name = described.get("x-displayName", described["name"])
        tag = Tag(name.lower().replace(" ", "-"), name, described["description"])
        for path, item in document["paths"].items():
            for verb in item:
                if verb in _VERBS and described["name"] in item[verb]["tags"]:
                    yield _OperationReader(document, path, verb).operation(tag)


class _OperationReader:
    """Reads one operation."""

    def __init__(self, document: Schema, path: str, verb: str) -> None:
        self._document = document
        self._item = document["paths"][path]
        self._path, self._verb = path, verb
        self._described = self._item[verb]

    def operation(self, tag: Tag) -> Operation:
        described = self._described
        server = self._item.get("servers", self._document["servers"])[0]["url"]
        answers = described["responses"].items()
        return Operation(
            id=described["operationId"],
            method=self._verb.upper(),
            path=self._path,
            url=server + self._path,
            page=f"api/api-reference/{tag.slug}/{described['operationId']}",
            tag=tag,
            title=described["summary"],
            description=described["description"],
            kinds=tuple(described["x-key-kinds"]),
            token=self._token(),
            parameters=tuple(
                sorted(self._parameters(), key=lambda parameter: not parameter.shape.required)
            ),
            body=self._body(),
            answers=tuple(self._answer(int(status), answer) for status, answer in answers),
        )

    def _token(self) -> str:
        security = self._described.get("security", self._document["security"])
        if not security or self._described["x-key-kinds"]:
            return ""
        [name] = security[0]
        description: str = self._document["components"]["securitySchemes"][name]["description"]
        return description

    def _parameters(self) -> Iterator[Parameter]:
        all_of_them = [*self._item.get("parameters", ()), *self._described.get("parameters", ())]
        for referring in all_of_them:
            parameter = resolved(self._document, referring)
            # OpenAPI 3.1 ignores a parameter of this name: `security` describes it.
            if parameter["name"] != "Authorization":
                yield self._parameter(parameter)

    def _parameter(self, parameter: Schema) -> Parameter:
        schema = resolved(self._document, parameter["schema"])
        required = parameter.get("required", False)
        described = {**schema, "description": parameter["description"]}
        choices = schema.get("enum", ["true", "false"] if schema.get("type") == "boolean" else ())
        adds = parameter.get("x-adds", {}).items()
        return Parameter(
            location=parameter["in"],
            shape=shape_of(self._document, described, parameter["name"], required=required),
            example=str(parameter.get("example", "")),
            choices=tuple(choices),
            adds=tuple(shape_of(self._document, added, name) for name, added in adds),
        )

    def _body(self) -> Content | None:
        """The body, with the fields that its examples use right after the required ones."""
        body = self._described.get("requestBody")
        if body is None:
            return None
        [content] = self._contents(body)
        used = [name for example in _values(body["content"][JSON_TYPE]) for name in example]

        def place(field: Shape) -> tuple[bool, int]:
            return not field.required, used.index(field.name) if field.name in used else len(used)

        fields = sorted(content.shape.members, key=place)
        shape = msgspec.structs.replace(content.shape, members=tuple(fields))
        return msgspec.structs.replace(content, shape=shape)

    def _answer(self, status: int, referring: Schema) -> DescribedResponse:
        answer = resolved(self._document, referring)
        phrase, _, description = answer["description"].rpartition(" - ")
        headers = answer.get("headers", {}).items()
        return DescribedResponse(
            status=status,
            phrase=phrase or HTTPStatus(status).phrase,
            description=description,
            headers=tuple(
                (name, resolved(self._document, header)["description"]) for name, header in headers
            ),
            contents=tuple(self._contents(answer)),
        )

    def _contents(self, body: Schema) -> Iterator[Content]:
        for media_type, content in body["content"].items():
            shape = shape_of(self._document, content["schema"])
            examples = self._examples(content, media_type)
            yield Content(media_type, shape, tuple(examples))

    def _examples(self, content: Schema, media_type: str) -> Iterator[Example]:
        named: dict[str, Schema] = content.get("examples", {})
        if "example" in content:
            named = {"example": {"value": content["example"]}}
        for name, referring in named.items():
            example = resolved(self._document, referring)
            value = example["value"]
            error = value.get("error", {}) if isinstance(value, dict) else {}
            yield Example(
                name=name,
                summary=example.get("summary", ""),
                text=_text(value, media_type),
                language=_LEXERS.get(media_type, "text"),
                code=example.get("x-error-code", ""),
                remedy=example.get("x-remedy", ""),
                message=error.get("message", ""),
                reason=error.get("metadata", {}).get("reason", ""),
            )


def _values(content: Schema) -> list[Any]:
    if "example" in content:
        return [content["example"]]
    return [example["value"] for example in content["examples"].values()]


def _text(value: Any, media_type: str) -> str:
    if media_type == JSON_TYPE:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        return _EXPONENT.sub(lambda number: plain_number(float(number[0])), text)
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
