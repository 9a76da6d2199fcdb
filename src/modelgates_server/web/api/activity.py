"""GET /activity: the usage of an account per day, model, endpoint and key, including today."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from urllib.parse import quote, urlencode

import msgspec
from starlette.datastructures import QueryParams

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.keys import KEY_HASH
from modelgates_server.core.metering.generations import DailyActivity
from modelgates_server.core.times import day_of
from modelgates_server.service.ports import ActivityPosition, Clock, GenerationReader
from modelgates_server.web.api.activity_cursor import cursor_after, read_cursor
from modelgates_server.web.api.amounts import Number, number
from modelgates_server.web.api.key_responses import workspace_of
from modelgates_server.web.body import query_integer
from modelgates_server.web.long_lists import LongLists
from modelgates_server.web.members import check_query, quoted
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

DAYS = 30
PAGE_MAX = 10_000
_EPOCH = date(1970, 1, 1)
_LAST_DAY = (date.max - _EPOCH).days
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_OUT_OF_RANGE = f"Date must be within the last {DAYS} (completed) UTC days"
_ZERO = number(0)
_QUERY = (
    *("date", "api_key_hash", "user_id", "group_by", "workspace_id"),
    *("limit", "cursor"),
)
_encoder = msgspec.json.Encoder()


class ActivityItem(msgspec.Struct, frozen=True, kw_only=True):
    """A row. Amounts in dollars. Only ModelGates has `api_key_hash`, and `partial` for today.

    An endpoint has one model, so these rows differ from OpenRouter's grouping only by the key.
    """

    date: str
    model: str
    model_permaslug: str
    endpoint_id: str
    provider_name: str
    api_key_hash: str
    usage: Number
    requests: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int
    byok_usage_inference: Number = _ZERO
    workspace_id: str | msgspec.UnsetType = msgspec.UNSET
    partial: bool | msgspec.UnsetType = msgspec.UNSET


class _Query(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that a request is about. `to_day` is None for all days since `from_day`."""

    from_day: int
    to_day: int | None
    key_hash: str | None
    workspace_id: str | msgspec.UnsetType
    after: ActivityPosition | None
    limit: int
    today: int


class ActivityApi:
    """The operation on /activity."""

    def __init__(self, generations: GenerationReader, clock: Clock, lists: LongLists) -> None:
        self._generations = generations
        self._clock = clock
        self._lists = lists

    async def get(self, context: RequestContext) -> HttpResponse:
        """GET /activity: the last 30 whole UTC days and the current one, newest first.

        Days after the current one are listed too: a clock that was wrong has left them, and their
        usage is charged.
        """
        params, account_id = context.request.query_params, context.caller.account_id
        query = _read_query(params, account_id, day_of(self._clock()))
        path = quote(context.request.url.path)

        async def read() -> list[DailyActivity]:
            if not _is_about(params, account_id):
                return []
            return await self._generations.activity(
                account_id,
                from_day=query.from_day,
                to_day=query.to_day,
                key_hash=query.key_hash,
                after=query.after,
                limit=query.limit + 1,
            )

        def encode(rows: list[DailyActivity]) -> bytes:
            if not rows and query.to_day is not None and query.to_day > query.today:
                raise InvalidInput(_OUT_OF_RANGE)
            following = None
            if len(rows) > query.limit:
                rows = rows[: query.limit]
                kept = [item for item in params.multi_items() if item[0] != "cursor"]
                following = f"{path}?{urlencode([*kept, ('cursor', cursor_after(rows[-1]))])}"
            return _encoded(rows, query, following)

        return HttpResponse(200, await self._lists.response_body(context, read, encode))


def _read_query(params: QueryParams, account_id: str, today: int) -> _Query:
    check_query(params, _QUERY)
    date_text = params.get("date")
    from_day, to_day = today - DAYS, None
    if date_text is not None:
        from_day = to_day = _read_day(date_text)
        if to_day < today - DAYS:
            raise InvalidInput(_OUT_OF_RANGE)
    key_hash = params.get("api_key_hash")
    if key_hash is not None and not KEY_HASH.fullmatch(key_hash):
        raise InvalidInput(
            "`api_key_hash` must be 64 lower-case hexadecimal digits. "
            "Use the `hash` of a key from `GET /keys`."
        )
    cursor = params.get("cursor")
    return _Query(
        from_day=from_day,
        to_day=to_day,
        key_hash=key_hash,
        workspace_id=_workspace(params, account_id),
        after=None if cursor is None else read_cursor(cursor),
        limit=query_integer(params, "limit", default=PAGE_MAX, least=1, most=PAGE_MAX),
        today=today,
    )


def _read_day(text: str) -> int:
    try:
        if _DATE.fullmatch(text):
            return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        pass  # such as 31 February
    raise InvalidInput(f"`date` must be a day such as 2026-11-23, not {quoted(text)}.")


def _is_about(query: QueryParams, account_id: str) -> bool:
    """Whether the filters match; an account has only one user and one workspace."""
    own = {"user_id": account_id, "workspace_id": workspace_of(account_id)}
    return all(query.get(name, value) == value for name, value in own.items())


def _workspace(query: QueryParams, account_id: str) -> str | msgspec.UnsetType:
    """The `workspace_id` of rows grouped by workspace; other rows do not have the field."""
    grouped = query.get("group_by")
    if grouped is None:
        return msgspec.UNSET
    if grouped != "workspace":
        raise InvalidInput(
            f"Unknown value of `group_by`: {quoted(grouped)}. Use `workspace`, or leave it out."
        )
    return workspace_of(account_id)


def _encoded(rows: Sequence[DailyActivity], query: _Query, following: str | None) -> bytes:
    """The response. Encoded row by row, because one long step would keep the interpreter lock."""
    data = b",".join(_encoder.encode(_item(row, query)) for row in rows)
    return b'{"data":[%b],"links":%b}' % (data, _encoder.encode({"next": following}))


def _item(row: DailyActivity, query: _Query) -> ActivityItem:
    return ActivityItem(
        date=(_EPOCH + timedelta(days=min(row.day, _LAST_DAY))).isoformat(),
        model=row.model,
        model_permaslug=row.model,
        endpoint_id=row.endpoint_id,
        provider_name=row.provider,
        api_key_hash=row.key_hash,
        usage=number(row.usage_pico),
        requests=row.requests,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cached_tokens=row.cached_tokens,
        workspace_id=query.workspace_id,
        partial=True if row.day >= query.today else msgspec.UNSET,
    )
