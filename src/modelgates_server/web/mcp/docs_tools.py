"""MCP tools and resources to search and read the documentation, with the OpenAPI document."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)

from modelgates_server import __version__
from modelgates_server.dialects.json_object import misfit
from modelgates_server.docsite.model import DOCS, ORIGIN, Excerpt, Page
from modelgates_server.docsite.search import MARKS
from modelgates_server.web.mcp.transport import (
    Context,
    McpTransport,
    context_of,
    text_result,
    unknown_tool,
)
from modelgates_server.web.members import quoted
from modelgates_server.web.pages.executor import run_in_docs_thread
from modelgates_server.web.request import RequestContext

if TYPE_CHECKING:
    from modelgates_server.docsite.site import Site

TEXT_MAX_CHARS = 400
EXCERPTS_MAX = 10
PAGE_MAX_CHARS = 100_000
RESOURCES_A_PAGE = 100

_CURSOR_MAX_CHARS = 9
_ROOT = f"{ORIGIN}/{DOCS}"
_OPENAPI = "openapi.json"
_MARKDOWN = "text/markdown"
_ABOVE = re.compile(r"^(?:https?://[^/]*(?:/.*?)??)?/?docs(?=[/.]|$)", re.IGNORECASE)
_ENDINGS = re.compile(r"\.(?:mdx?|html)$")
_INDEX = re.compile(r"(?:^|/)index$")
_INSTRUCTIONS = (
    "The documentation of this ModelGates server: guides, and a reference of every operation with "
    "code samples. Search with searchDocs, then read a page with getPage."
)


_Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX_CHARS)]


class SearchArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of searchDocs."""

    query: _Text


class PageArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of getPage."""

    path: _Text


_ARGUMENTS = {"searchDocs": SearchArguments, "getPage": PageArguments}

SEARCH_DOCS = Tool(
    name="searchDocs",
    title="Search the documentation",
    description="Searches the documentation of ModelGates: guides, the API reference and code "
    "samples. Use it to find the pages about a topic, then read them with getPage. Returns the "
    "best excerpts with the addresses of their pages.",
    input_schema={
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "maxLength": TEXT_MAX_CHARS,
                "description": 'Words to search for, such as "remaining credits"',
            }
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
)
GET_PAGE = Tool(
    name="getPage",
    title="Read a page of the documentation",
    description="Returns one page of the documentation as Markdown. Use it to read a page that "
    "searchDocs found, or one whose path you know.",
    input_schema={
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "maxLength": TEXT_MAX_CHARS,
                "description": "Address of the page as searchDocs returns it, or its path below "
                "/docs, such as guides/overview/quickstart",
            }
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
)


def transport(
    site: Callable[[], Awaitable["Site"]], base_of: Callable[[RequestContext], str]
) -> McpTransport:
    """The MCP server; see `DocsMcp`."""
    handlers = _DocsHandlers(site, base_of)
    server = Server[Any](
        "modelgates-docs",
        version=__version__,
        title="ModelGates documentation",
        instructions=_INSTRUCTIONS,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
    )
    return McpTransport(server)


class _DocsHandlers:
    """The handlers. Texts contain ORIGIN; each handler replaces it with the caller's address."""

    def __init__(
        self,
        site: Callable[[], Awaitable["Site"]],
        base_of: Callable[[RequestContext], str],
    ) -> None:
        self._site = site
        self._base_of = base_of

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[SEARCH_DOCS, GET_PAGE])

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        tools = {SEARCH_DOCS.name: _search, GET_PAGE.name: _page}
        if params.name not in tools:
            raise MCPError(INVALID_PARAMS, unknown_tool(params.name))
        site = await self._site()
        try:
            text = await run_in_docs_thread(tools[params.name], site, params.arguments or {})
        except msgspec.ValidationError as error:
            given = msgspec.json.encode(params.arguments)
            shape = _ARGUMENTS[params.name]
            return text_result(str(misfit(error, body=given, shape=shape)), is_error=True)
        except LookupError as error:
            return text_result(str(error.args[0]), is_error=True)
        return text_result(self._addressed(context, text))

    async def list_resources(
        self, context: Context, params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        site = await self._site()
        start = _start(params)
        openapi = Resource(
            uri=f"{_ROOT}/{_OPENAPI}",
            name=_OPENAPI,
            title="OpenAPI document",
            description="Every operation of this server with all schemas",
            mime_type="application/json",
        )
        everything = [openapi, *(_resource(page) for page in site.pages.values())]
        end = start + RESOURCES_A_PAGE
        return ListResourcesResult(
            resources=[
                each.model_copy(update={"uri": self._addressed(context, each.uri)})
                for each in everything[start:end]
            ],
            next_cursor=str(end) if end < len(everything) else None,
        )

    async def list_templates(
        self, context: Context, _: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        page = ResourceTemplate(
            uri_template=self._addressed(context, f"{_ROOT}/{{+path}}.md"),
            name="page",
            title="A page of the documentation",
            mime_type=_MARKDOWN,
        )
        return ListResourceTemplatesResult(resource_templates=[page])

    async def read_resource(
        self, context: Context, params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        site = await self._site()
        uri = str(params.uri)
        try:
            text, mime_type = await run_in_docs_thread(_resource_text, site, uri)
        except LookupError:
            shown = {"uri": uri[:TEXT_MAX_CHARS]}
            raise MCPError(INVALID_PARAMS, "Resource not found", shown) from None
        text = self._addressed(context, text)
        contents = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
        return ReadResourceResult(contents=[contents])

    def _addressed(self, context: Context, text: str) -> str:
        return text.replace(ORIGIN, self._base_of(context_of(context)))


def _search(site: "Site", given: Mapping[str, Any]) -> str:
    query = msgspec.convert(given, SearchArguments).query
    excerpts = site.find(query, EXCERPTS_MAX)
    if not excerpts:
        return "No results. Try other words, or fewer words."
    return "\n\n".join(_listed(number, each) for number, each in enumerate(excerpts, start=1))


def _page(site: "Site", given: Mapping[str, Any]) -> str:
    """Raises `LookupError` with a message for the assistant."""
    path = msgspec.convert(given, PageArguments).path
    page = site.pages.get(_path_of(path))
    if page is None:
        raise LookupError(f"Page not found: {quoted(path)}. Find its path with searchDocs.")
    return _cut(page)


def _resource_text(site: "Site", uri: str) -> tuple[str, str]:
    """The text at an address, and its media type; raises `LookupError`."""
    if len(uri) > TEXT_MAX_CHARS:
        raise LookupError
    path = _path_of(uri)
    if path == _OPENAPI:
        return site.documents[f"{DOCS}/{_OPENAPI}"].body.decode(), "application/json"
    return _cut(site.pages[path]), _MARKDOWN


def _resource(page: Page) -> Resource:
    return Resource(
        uri=f"{_ROOT}/{page.path}.md" if page.path else f"{_ROOT}.md",
        name=page.path or "index",
        title=page.title,
        description=page.description,
        mime_type=_MARKDOWN,
    )


def _listed(number: int, excerpt: Excerpt) -> str:
    """An excerpt for assistants: the title of its page, the address, and the text."""
    title = f"{excerpt.title} > {excerpt.heading}" if excerpt.heading else excerpt.title
    address = f"{_ROOT}/{excerpt.path}".rstrip("/") + (
        f"#{excerpt.anchor}" if excerpt.anchor else ""
    )
    text = excerpt.text.translate({ord(mark): "**" for mark in MARKS})
    return f"{number}. {title}\n{address}\n{text}"


def _cut(page: Page) -> str:
    """The Markdown of a page, truncated to a length that an assistant can read."""
    if len(page.markdown) <= PAGE_MAX_CHARS:
        return page.markdown
    whole = f"{_ROOT}/{page.path}.md"
    note = f"[Truncated: the page has {len(page.markdown)} characters. Whole page: {whole}]"
    return f"{page.markdown[:PAGE_MAX_CHARS]}\n\n{note}\n"


def _path_of(text: str) -> str:
    """The path of a page, from its path or address, with or without a suffix.

    Any host is accepted: only this server has these pages, and it may have several names.
    """
    path = text.strip().partition("#")[0].partition("?")[0]
    path = _ABOVE.sub("", path, count=1).strip("/")
    return _INDEX.sub("", _ENDINGS.sub("", path, count=1))


def _start(params: PaginatedRequestParams | None) -> int:
    cursor = "0" if params is None or params.cursor is None else params.cursor
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _CURSOR_MAX_CHARS):
        raise MCPError(INVALID_PARAMS, "Invalid cursor. Use the `nextCursor` of a list.")
    return int(cursor)
