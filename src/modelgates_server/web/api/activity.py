"""GET /activity: the usage of an account per day, model, endpoint and key, including today."""

import re
from datetime import date, timedelta

import msgspec
from starlette.datastructures import QueryParams

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.keys import KEY_HASH
from modelgates_server.core.metering.generations import ActivityRow
from modelgates_server.core.times import day_of
from modelgates_server.service.ports import Clock, GenerationReader
from modelgates_server.web.api.amounts import Number, number
from modelgates_server.web.api.key_responses import workspace_of
from modelgates_server.web.members import check_query, quoted
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

DAYS = 30
_EPOCH = date(1970, 1, 1)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ZERO = number(0)
_QUERY = ("date", "api_key_hash", "user_id", "group_by", "workspace_id")


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


class ActivityApi:
    """The operation on /activity."""

    def __init__(self, generations: GenerationReader, clock: Clock) -> None:
        self._generations = generations
        self._clock = clock

    async def get(self, context: RequestContext) -> HttpResponse:
        """GET /activity: the last 30 whole UTC days and the current one, newest first."""
        query, account_id = context.request.query_params, context.caller.account_id
        check_query(query, _QUERY)
        today = day_of(self._clock())
        from_day, to_day = _days(query.get("date"), today)
        key_hash = query.get("api_key_hash")
        if key_hash is not None and not KEY_HASH.fullmatch(key_hash):
            raise InvalidInput(
                "`api_key_hash` must be 64 lower-case hexadecimal digits. "
                "Use the `hash` of a key from `GET /keys`."
            )
        workspace_id = _workspace(query, account_id)
        rows: list[ActivityRow] = []
        if _is_about(query, account_id):
            rows = await self._generations.activity(account_id, from_day=from_day, to_day=to_day)
        items = [
            _item(row, today, workspace_id)
            for row in rows
            if key_hash is None or row.key_hash == key_hash
        ]
        return HttpResponse(200, msgspec.json.encode({"data": items}))


def _days(date_text: str | None, today: int) -> tuple[int, int]:
    if date_text is None:
        return today - DAYS, today
    day = _read_day(date_text)
    if not today - DAYS <= day <= today:
        raise InvalidInput(f"Date must be within the last {DAYS} (completed) UTC days")
    return day, day


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


def _item(row: ActivityRow, today: int, workspace_id: str | msgspec.UnsetType) -> ActivityItem:
    return ActivityItem(
        date=(_EPOCH + timedelta(days=row.day)).isoformat(),
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
        workspace_id=workspace_id,
        partial=True if row.day == today else msgspec.UNSET,
    )
