"""The tools of an account, each a route of the HTTP API."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
    ToolAnnotations,
)

from modelgates_server import __version__
from modelgates_server.web.app import App
from modelgates_server.web.head import Headers
from modelgates_server.web.mcp.transport import (
    Context,
    McpTransport,
    context_of,
    gathered,
    request_of,
    text_result,
    unknown_tool,
)
from modelgates_server.web.members import quoted
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse
from modelgates_server.web.routing import Route

ANSWER_MAX_BYTES = 256 * 1024


_REFUSED = 400
_INSTRUCTIONS = (
    "Tools for one account of this ModelGates server: its credits, its keys, the receipts of its "
    "calls, and the models it can call. All amounts are in US dollars."
)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_IDEMPOTENCY_KEY = "idempotency_key"
_OFFSET = {"type": "integer", "minimum": 0, "description": "Number of items to skip"}


class _AccountTool(NamedTuple):
    """The description of a tool, and its route.

    Arguments become the query or the body of the route, and `idempotency_key` becomes the
    `Idempotency-Key` header. `given` has the defaults of query parameters.
    """

    route_id: str
    tool: Tool
    given: Mapping[str, str]


def _tool(
    route_id: str,
    description: str,
    properties: dict[str, Any],
    *,
    required: tuple[str, ...] = (),
    annotations: ToolAnnotations = _READS,
    given: Mapping[str, str] | None = None,
) -> _AccountTool:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    name = _NAMES[route_id]
    tool = Tool(name=name, description=description, input_schema=schema, annotations=annotations)
    return _AccountTool(route_id, tool, given or {})


_NAMES = {
    "get-credits": "get_credits",
    "list-user-models": "list_models",
    "get-generation": "get_generation",
    "list-keys": "list_keys",
    "create-key": "create_key",
}

TOOLS = [
    _tool(
        "get-credits",
        "Returns the credits of the account. Use it to find out how much the account can still "
        "spend. The result has total credits, total usage, and the exact balance, held and "
        "available amounts.",
        {},
    ),
    _tool(
        "list-user-models",
        "Lists the models that this account can call. Use it to find the id of a model or to "
        "compare prices. The result has the account's prices in US dollars per token, 20 models "
        "at a time by default; total_count is the number of all matches.",
        {
            "q": {"type": "string", "description": "Text in the id or name of a model"},
            "offset": _OFFSET,
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": 100,
                "description": "Number of models to return; 20 by default",
            },
        },
        given={"limit": "20"},
    ),
    _tool(
        "get-generation",
        "Returns the record of one call to a model. Use it to find out what a call cost and why. "
        "The result has the cost, the token counts, and the receipt line by line.",
        {"id": {"type": "string", "description": "Id of the generation, such as gen-…"}},
        required=("id",),
    ),
    _tool(
        "list-keys",
        "Lists the inference and viewer keys of the account. Use it to review keys and their "
        "spending. The result has the limit and usage of each key, newest first, 100 keys at a "
        "time, and never the keys themselves.",
        {
            "offset": _OFFSET,
            "include_disabled": {
                "type": "boolean",
                "description": "Whether to include disabled keys; false by default",
            },
        },
    ),
    _tool(
        "create-key",
        "Creates an inference or viewer key for the account. Use it only when the user asks for a "
        "new key. Only this result contains the text of the key, which becomes part of the "
        "conversation.",
        {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                "description": "Name of the key, for people",
            },
            "kind": {
                "enum": ["inference", "viewer"],
                "description": "inference (the default) calls models; viewer reads credits and "
                "usage",
            },
            "limit": {
                "type": ["number", "null"],
                "minimum": 0,
                "description": "The most US dollars that the key may spend; no limit by default",
            },
            "limit_reset": {
                "enum": ["daily", "weekly", "monthly", None],
                "description": "How often the limit resets (UTC); never by default",
            },
            "expires_at": {
                "type": ["string", "null"],
                "description": "Time when the key expires, such as 2030-01-01T00:00:00Z; never "
                "by default",
            },
            _IDEMPOTENCY_KEY: {
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                "description": "Any text that identifies this request. Repeating the request with "
                "the same text within 24 hours creates no second key and returns the first one",
            },
        },
        required=("name",),
        annotations=_ADDS,
    ),
]


class _Arguments(msgspec.Struct):
    arguments: dict[str, msgspec.Raw] | None = None


class _ToolCall(msgspec.Struct):
    params: _Arguments


def transport(routes: Mapping[str, Route], app: App) -> McpTransport:
    """The MCP server; see `AccountMcp`."""
    handlers = _AccountToolHandlers(routes, app)
    server = Server[Any](
        "modelgates-account",
        version=__version__,
        title="ModelGates account",
        instructions=_INSTRUCTIONS,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
    )
    return McpTransport(server)


class _AccountToolHandlers:
    """The handlers of the account's MCP server."""

    def __init__(self, routes: Mapping[str, Route], app: App) -> None:
        self._routes = routes
        self._app = app
        self._tools = {each.tool.name: each for each in TOOLS}

    async def list_tools(
        self, context: Context, _: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """The tools that the calling key may use."""
        kind = context_of(context).caller.kind
        return ListToolsResult(
            tools=[each.tool for each in TOOLS if kind in self._routes[each.route_id].kinds]
        )

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        """Call any tool: its route rejects keys that may not use it."""
        tool = self._tools.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, unknown_tool(params.name))
        # From the message itself, because the library turns amounts into floats.
        message = msgspec.json.decode(await request_of(context).body(), type=_ToolCall)
        arguments = message.params.arguments or {}
        unknown = arguments.keys() - tool.tool.input_schema["properties"].keys()
        if unknown:
            # A client that misspells a limit must not get a key without one.
            shown = quoted(", ".join(sorted(unknown)))
            known = ", ".join(tool.tool.input_schema["properties"]) or "none"
            return text_result(f"Unknown argument: {shown}. This tool has: {known}.", is_error=True)
        try:
            repeated = _repeated(arguments.pop(_IDEMPOTENCY_KEY, None))
        except msgspec.ValidationError:
            return text_result("`idempotency_key` must be a string.", is_error=True)
        response = await self._call_route(context_of(context), tool, arguments, repeated)
        if len(response.body) > ANSWER_MAX_BYTES:
            return text_result("The response is too large. Give a lower `limit`.", is_error=True)
        return text_result(response.body.decode(), is_error=response.status >= _REFUSED)

    async def _call_route(
        self,
        context: RequestContext,
        tool: _AccountTool,
        arguments: Mapping[str, msgspec.Raw],
        repeated: Headers,
    ) -> HttpResponse:
        route = self._routes[tool.route_id]
        sends = route.method == "POST"
        query = "" if sends else urlencode({**tool.given, **_query(arguments)})
        scope = {
            **context.request.scope,
            "method": route.method,
            "path": route.path,
            "raw_path": route.path.encode(),
            "query_string": query.encode(),
            "headers": [
                JSON,
                (b"host", context.headers.get(b"host", b"")),
                (b"authorization", b"Bearer " + context.token.encode("latin-1")),
                (b"x-request-id", context.head.request_id),
                (b"x-modelgates-metadata", b"enabled"),
                *repeated,
            ],
        }
        return await gathered(self._app, scope, msgspec.json.encode(arguments) if sends else b"")


def _repeated(raw: msgspec.Raw | None) -> Headers:
    """The header that makes a request idempotent; raises `msgspec.ValidationError`."""
    text = None if raw is None else msgspec.json.decode(raw, type=str | None)
    return [] if text is None else [(b"idempotency-key", text.encode())]


def _query(arguments: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    """Arguments as query parameters: strings unchanged, other values as JSON, null omitted."""
    query = {}
    for name, raw in arguments.items():
        value = msgspec.json.decode(raw)
        if value is not None:
            query[name] = value if isinstance(value, str) else bytes(raw).decode()
    return query
