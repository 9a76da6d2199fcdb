"""The pages of the API reference, built from the OpenAPI document: one for each operation."""

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modelgates_server.docsite.markdown import highlight, plain, render
from modelgates_server.docsite.model import ORIGIN, Heading, Page
from modelgates_server.docsite.reference import overview
from modelgates_server.docsite.reference.links import Links
from modelgates_server.docsite.reference.markdown import SAMPLES, twin
from modelgates_server.docsite.reference.operations import Operation, operations_of
from modelgates_server.docsite.samples import samples_of
from modelgates_server.docsite.samples.request import request_of
from modelgates_server.docsite.schemas import Schema

_SECTION = "API reference"
_SENTENCE = re.compile(r"(.+?[.!?;])(?=\s|$)")
_NOT_IN_A_SLUG = re.compile(r"[^a-z0-9]+")


def pages(document: Schema) -> tuple[Page, ...]:
    """All pages; the servers of `document` are below `ORIGIN`."""
    operations = list(operations_of(document))
    links = Links(document, operations)
    first = _overview(document, operations, links)
    return (first, *(_page(document, operation, links) for operation in operations))


def _overview(document: Schema, operations: list[Operation], links: Links) -> Page:
    body = overview.body(document, operations, links)
    rendered = render(body)
    return Page(
        path=overview.PATH,
        title=overview.TITLE,
        description=overview.DESCRIPTION,
        section=f"{_SECTION}: Overview",
        markdown=f"# {overview.TITLE}\n\n{body}\n",
        html=rendered.html,
        headings=rendered.headings,
    )


def _page(document: Schema, operation: Operation, links: Links) -> Page:
    samples = samples_of(document, operation.path, operation.method)
    request = request_of(document, operation.path, operation.method)
    description = links.put(operation.description, operation.page)
    headings = _Headings()
    html = _environment().get_template("operation.html")
    return Page(
        path=operation.page,
        title=operation.title,
        description=_first_sentence(description),
        section=f"{_SECTION}: {operation.tag.name}",
        markdown=twin(document, operation, description, samples),
        html=html.render(
            operation=operation,
            samples=samples,
            samples_title=SAMPLES,
            kinds=document["x-key-kinds"],
            heading=headings.add,
            token_variable=request.token,
            rendered=lambda text: _rendered(links.put(text, operation.page)),
            inline=_inline,
            docs=f"{ORIGIN}/docs",
        ),
        headings=tuple(headings.added),
    )


class _Headings:
    """Collects the headings of a page while it is written."""

    def __init__(self) -> None:
        self.added = list[Heading]()

    def add(self, level: int, text: str) -> Markup:
        """A heading that links to itself."""
        anchor = _NOT_IN_A_SLUG.sub("-", text.lower()).strip("-")
        self.added.append(Heading(level, text, anchor))
        return Markup('<h{0} id="{1}"><a href="#{1}">{2}</a></h{0}>').format(level, anchor, text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("modelgates_server.docsite"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    return environment


@cache
def _rendered(text: str) -> Markup:
    return Markup(render(text).html)  # noqa: S704 - from the document; the renderer escapes HTML


@cache
def _inline(text: str) -> Markup:
    """One line of Markdown, for places where a link or a paragraph is not allowed."""
    html = render(" ".join(text.split())).html.strip()
    return Markup(html.removeprefix("<p>").removesuffix("</p>"))  # noqa: S704 - as above


def _code(text: str, language: str) -> Markup:
    return Markup(highlight(text, language))  # noqa: S704 - escaped there


def _first_sentence(text: str) -> str:
    words = plain(" ".join(text.split()))
    sentence = _SENTENCE.match(words)
    return sentence[1].replace(";", ".") if sentence else words
