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
)
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse
from modelgates_server.web.routing import Route

ANSWER_MAX_BYTES = 256 * 1024

_NAME_SHOWN_CHARS = 64
_REFUSED = 400
_INSTRUCTIONS = (
    "One account of this ModelGates server: its credits, its keys, the receipts of its calls, and "
    "the models it can call. All amounts are US dollars."
)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_IDEMPOTENCY_KEY = "idempotency_key"
_OFFSET = {"type": "integer", "minimum": 0, "description": "How many to skip"}


class _AccountTool(NamedTuple):
    """What the tool says of itself, and the route that answers.

    Arguments go into the operation's query, or its body, and `idempotency_key` into the header of
    that name; `given` are those that it gets besides.
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
        "What the account bought and what it used, and exactly what is left: balance, held, "
        "available.",
        {},
    ),
    _tool(
        "list-user-models",
        "The models this account can call, with its prices in US dollars per token. Twenty at a "
        "time; total_count says how many there are.",
        {
            "q": {"type": "string", "description": "Text in the id or name of the models"},
            "offset": _OFFSET,
            "limit": {"type": "integer", "minimum": 1, "maximum": 100},
        },
        given={"limit": "20"},
    ),
    _tool(
        "get-generation",
        "One call of a model: what it cost, with its receipt line by line.",
        {"id": {"type": "string", "description": "Of the generation, gen-…"}},
        required=("id",),
    ),
    _tool(
        "list-keys",
        "The inference and viewer keys of the account, newest first, with limits and usage. A "
        "hundred at a time.",
        {
            "offset": _OFFSET,
            "include_disabled": {"type": "boolean", "description": "Disabled keys too"},
        },
    ),
    _tool(
        "create-key",
        "Create a key. The answer is the only place where its text is shown, so it becomes part "
        "of this conversation.",
        {
            "name": {"type": "string", "minLength": 1, "maxLength": 255},
            "kind": {
                "enum": ["inference", "viewer"],
                "description": "inference (the default) calls models, viewer reads the figures",
            },
            "limit": {
                "type": ["number", "null"],
                "minimum": 0,
                "description": "US dollars the key may spend; without it, no limit of its own",
            },
            "limit_reset": {
                "enum": ["daily", "weekly", "monthly", None],
                "description": "When the limit starts afresh (UTC); without it, never",
            },
            "expires_at": {
                "type": ["string", "null"],
                "description": "When the key ends, such as 2030-01-01T00:00:00Z",
            },
            _IDEMPOTENCY_KEY: {
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                "description": "A text of your choice that names this request: asking again with "
                "the same one within 24 hours makes nothing and answers with the same key",
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
    """The server; see `AccountMcp`."""
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
    """The handlers."""

    def __init__(self, routes: Mapping[str, Route], app: App) -> None:
        self._routes = routes
        self._app = app
        self._tools = {each.tool.name: each for each in TOOLS}

    async def list_tools(
        self, context: Context, _: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """Those that the caller's key may call."""
        kind = context_of(context).caller.kind
        return ListToolsResult(
            tools=[each.tool for each in TOOLS if kind in self._routes[each.route_id].kinds]
        )

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        """Any of them: the route refuses what the caller's key may not do."""
        tool = self._tools.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name[:_NAME_SHOWN_CHARS]}")
        # From the message itself, as the library makes floats of amounts.
        message = msgspec.json.decode(await request_of(context).body(), type=_ToolCall)
        arguments = message.params.arguments or {}
        unknown = arguments.keys() - tool.tool.input_schema["properties"].keys()
        if unknown:
            # Whoever misspells a limit must not get a key without one.
            shown = ", ".join(sorted(unknown))[:_NAME_SHOWN_CHARS]
            return text_result(f"There is no such argument: {shown}", is_error=True)
        try:
            repeated = _repeated(arguments.pop(_IDEMPOTENCY_KEY, None))
        except msgspec.ValidationError:
            return text_result("idempotency_key must be a text", is_error=True)
        response = await self._call_route(context_of(context), tool, arguments, repeated)
        if len(response.body) > ANSWER_MAX_BYTES:
            return text_result("The answer is too large; ask for less with limit", is_error=True)
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
                (b"authorization", context.head.authorization or b""),
                (b"x-request-id", context.head.request_id),
                (b"x-modelgates-metadata", b"enabled"),
                *repeated,
            ],
        }
        return await gathered(self._app, scope, msgspec.json.encode(arguments) if sends else b"")


def _repeated(raw: msgspec.Raw | None) -> Headers:
    """The header that makes a request repeatable; raises `msgspec.ValidationError`."""
    text = None if raw is None else msgspec.json.decode(raw, type=str | None)
    return [] if text is None else [(b"idempotency-key", text.encode())]


def _query(arguments: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    """Arguments as they stand in a query: text as it is, all else as JSON, null not at all."""
    query = {}
    for name, raw in arguments.items():
        value = msgspec.json.decode(raw)
        if value is not None:
            query[name] = value if isinstance(value, str) else bytes(raw).decode()
    return query
