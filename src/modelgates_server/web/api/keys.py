"""`/keys` for management keys, and `/key` for every key.

These operations manage inference and viewer keys. Management keys are created only on the command
line, so that a thief of one cannot lock the operator out.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.keys import Key, KeyChange, KeyKind, NewKey
from modelgates_server.core.times import LimitReset
from modelgates_server.service.keys import IdempotentRequest, KeyService
from modelgates_server.service.ports import Clock
from modelgates_server.web.api.amounts import Number, read_number
from modelgates_server.web.api.key_responses import current_key, key_response, workspace_of
from modelgates_server.web.body import decode_body, query_flag, query_integer
from modelgates_server.web.long_lists import LongLists
from modelgates_server.web.members import Opposite, check_query, folded, quoted
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

B = TypeVar("B", bound=msgspec.Struct)

PAGE = 100
_OFFSET_MAX = 10**9 - 1
_ADMINISTERED = (KeyKind.INFERENCE, KeyKind.VIEWER)
_IDEMPOTENCY_KEY_MAX = 255

_LIST_QUERY = ("include_disabled", "include_expired", "offset", "workspace_id")
_WORDS: dict[str, str | None] = {
    folded(word): known
    for known, words in {
        "limit": "budget budget_limit budget_usd cap credit_limit credits hard_limit limit_usd "
        "max_budget max_cost max_spend monthly_limit spend_limit spending_limit usage_limit",
        "limit_reset": "budget_duration budget_period interval limit_interval limit_period period "
        "reset reset_interval reset_period",
        "disabled": "block blocked deactivated disable inactive is_disabled paused revoke revoked "
        "status suspended",
        "expires_at": "duration expiration expiration_date expired_at expire expires expires_in "
        "expiry expiry_date ttl valid_until",
        "name": "alias key_alias key_name title",
        "kind": "key_type role type",
        "workspace_id": "team_id workspace",
        "creator_user_id": "creator user_id",
        # Names of things that a key does not have, but that resemble known names.
        None: "rate_limit rpm_limit tpm_limit request_limit requests_limit token_limit "
        "tokens_limit limit_remaining max_parallel_requests external metadata tags",
    }.items()
    for word in words.split()
} | {
    folded(word): Opposite("disabled")
    for word in ("active", "enable", "enabled", "is_active", "is_enabled")
}
"""Names of other gateways for the parameters here."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class External(msgspec.Struct, frozen=True):
    """A partner's names for a key and its user; ModelGates does not use them."""

    user: str
    api_key: str | None = None


class CreateKeyRequest(msgspec.Struct, frozen=True):
    """The body of POST /keys; only ModelGates has `kind`. Only PATCH can disable a key."""

    name: _Name
    kind: Literal["inference", "viewer"] = "inference"
    limit: Number = msgspec.Raw(b"null")
    limit_reset: LimitReset | None = None
    include_byok_in_limit: bool = False
    expires_at: str | None = None
    workspace_id: str | None = None
    creator_user_id: str | None = None
    external: External | None = None
    disabled: bool | None = None


class UpdateKeyRequest(msgspec.Struct, frozen=True):
    """The body of PATCH /keys/{hash}; parameters that are left out stay unchanged."""

    name: _Name | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET
    limit: Number | msgspec.UnsetType = msgspec.UNSET
    limit_reset: LimitReset | msgspec.UnsetType | None = msgspec.UNSET
    include_byok_in_limit: bool | msgspec.UnsetType = msgspec.UNSET
    workspace_id: str | None = None
    expires_at: str | msgspec.UnsetType | None = msgspec.UNSET
    kind: str | msgspec.UnsetType = msgspec.UNSET


class KeysApi:
    """The operations on keys. `allow_unknown` lets bodies have unknown parameters."""

    def __init__(
        self, keys: KeyService, clock: Clock, lists: LongLists, *, allow_unknown: bool = False
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._lists = lists
        self._allow_unknown = allow_unknown

    async def list(self, context: RequestContext) -> HttpResponse:
        """GET /keys: a page of 100 keys, newest first."""
        query = context.request.query_params
        check_query(query, _LIST_QUERY)
        include_disabled = query_flag(query, "include_disabled")
        include_expired = query_flag(query, "include_expired", default=True)
        offset = query_integer(query, "offset", default=0, most=_OFFSET_MAX)
        if not _is_own_workspace(context, query.get("workspace_id")):
            return _response(200, {"data": []})
        account_id, now_ms = context.caller.account_id, self._clock()
        body = await self._lists.response_body(
            context,
            lambda: self._keys.page(
                account_id,
                kinds=_ADMINISTERED,
                include_disabled=include_disabled,
                include_expired=include_expired,
                offset=offset,
                limit=PAGE,
            ),
            lambda page: msgspec.json.encode({"data": [key_response(key, now_ms) for key in page]}),
        )
        return HttpResponse(200, body)

    async def create(self, context: RequestContext) -> HttpResponse:
        """POST /keys: only this response contains the text of the key."""
        body = await self._body(context, CreateKeyRequest)
        if body.disabled:
            raise InvalidInput(
                "`disabled` must not be `true` for a new key. Create the key, then send "
                "`PATCH /keys/{hash}` with `disabled: true`."
            )
        _check_workspace(context, body.workspace_id)
        creator, account_id = body.creator_user_id, context.caller.account_id
        if creator is not None and creator != account_id:
            raise InvalidInput(
                f"Unknown `creator_user_id`: {quoted(creator)}. The only user of this account is "
                f"`{account_id}`."
            )
        new_key = NewKey(
            kind=KeyKind(body.kind),
            name=body.name,
            limit_pico=read_number("limit", body.limit),
            limit_reset=body.limit_reset,
            include_byok_in_limit=body.include_byok_in_limit,
            expires_at=body.expires_at,
        )
        key, text = await self._keys.create(account_id, new_key, _repeatable(context))
        return _response(201, {"data": key_response(key, self._clock()), "key": text})

    async def get(self, context: RequestContext) -> HttpResponse:
        """GET /keys/{hash}."""
        check_query(context.request.query_params)
        return self._key_response(await self._named(context, context.request.path_params["hash"]))

    async def change(self, context: RequestContext) -> HttpResponse:
        """PATCH /keys/{hash}."""
        key = await self._named(context, context.request.path_params["hash"])
        body = await self._body(context, UpdateKeyRequest)
        for member in ("expires_at", "kind"):
            if getattr(body, member) not in (msgspec.UNSET, getattr(key, member)):
                raise InvalidInput(
                    f"`{member}` cannot be changed. Leave it out, or create another key."
                )
        _check_workspace(context, body.workspace_id)
        limit = body.limit
        change = KeyChange(
            name=body.name,
            disabled=body.disabled,
            limit_pico=msgspec.UNSET if limit is msgspec.UNSET else read_number("limit", limit),
            limit_reset=body.limit_reset,
            include_byok_in_limit=body.include_byok_in_limit,
        )
        return self._key_response(await self._keys.change(key, change))

    async def delete(self, context: RequestContext) -> HttpResponse:
        """DELETE /keys/{hash}: 200 with a body, as the official clients require."""
        check_query(context.request.query_params)
        return await self._delete(context, context.request.path_params["hash"])

    async def delete_by_id(self, context: RequestContext) -> HttpResponse:
        """DELETE /keys?id=: the form that the ModelGates client uses."""
        check_query(context.request.query_params, ("id",))
        key_hash = context.request.query_params.get("id")
        if not key_hash:
            raise InvalidInput(
                "The request does not name a key. Send `DELETE /keys/{hash}` or "
                "`DELETE /keys?id={hash}`."
            )
        return await self._delete(context, key_hash)

    async def current(self, context: RequestContext) -> HttpResponse:
        """GET /key: the calling key."""
        key = await self._keys.get(context.caller.key_hash)
        return _response(200, {"data": current_key(key, context.caller, self._clock())})

    async def _body(self, context: RequestContext, shape: type[B]) -> B:
        check_query(context.request.query_params)
        return await decode_body(context, shape, _WORDS, allow_unknown=self._allow_unknown)

    async def _named(self, context: RequestContext, key_hash: str) -> Key:
        return await self._keys.get(key_hash, context.caller.account_id, _ADMINISTERED)

    async def _delete(self, context: RequestContext, key_hash: str) -> HttpResponse:
        await self._keys.delete(await self._named(context, key_hash))
        return _response(200, {"deleted": True})

    def _key_response(self, key: Key) -> HttpResponse:
        return _response(200, {"data": key_response(key, self._clock())})


def _response(status: int, content: dict[str, object]) -> HttpResponse:
    return HttpResponse(status, msgspec.json.encode(content))


def _is_own_workspace(context: RequestContext, workspace_id: str | None) -> bool:
    return workspace_id is None or workspace_id == workspace_of(context.caller.account_id)


def _check_workspace(context: RequestContext, workspace_id: str | None) -> None:
    if workspace_id is not None and not _is_own_workspace(context, workspace_id):
        raise InvalidInput(
            f"Unknown `workspace_id`: {quoted(workspace_id)}. The only workspace of this account "
            f"is `{workspace_of(context.caller.account_id)}`."
        )


def _repeatable(context: RequestContext) -> IdempotentRequest | None:
    header = context.single_header("Idempotency-Key")
    if header is None:
        return None
    if not 1 <= len(header) <= _IDEMPOTENCY_KEY_MAX:
        raise InvalidInput(
            f"`Idempotency-Key` must have 1 to {_IDEMPOTENCY_KEY_MAX} bytes, not {len(header)}."
        )
    return IdempotentRequest(context.token, header)
