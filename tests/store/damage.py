"""The damage that tests do to rows of a ledger, and the invariants that it violates."""

from tests.support import T0_MS

SOUND, BROKEN, LAST = (f"user_{letter * 22}" for letter in "ABC")
KEY_1, KEY_2 = "b1" * 32, "b2" * 32

OF_ACCOUNT = f"where account_id = '{BROKEN}'"

# The journal of BROKEN: 1 open, 2 grant 10, 3 hold h1, 4 extend h1, 5 usage h1, 6 hold h2,
# 7 usage h2 with overrun, 8 hold h3, 9 void h3, 10 hold h4, 11 expire h4, 12 adjustment -11,
# 13 hold h5 of key 2, still open, 14 hold h6, open and free, 15 late_usage h4. SOUND, LAST: alike.
# Every hold but h6 has a generation; that of h1 has an answer.
#
# Changes to a row of BROKEN, and the invariants that they violate.
ACCOUNT = {
    "credits_pico = credits_pico + 1": "I1 I7 I8",
    "credits_pico = credits_pico + 0.5": "file",
    "credits_pico = 'many'": "file",
    "usage_pico = usage_pico - 1": "I1 I7 I8",
    "credits_pico = credits_pico + 1, usage_pico = usage_pico + 1": "I1 I8",
    "held_pico = 0": "I2 I8",
    "last_seq = last_seq + 1": "I4",
    "min_balance_pico = 0": "I3",
    "min_balance_pico = min_balance_pico - 1": "I3",
    "closed_at_ms = 5": "I1",
    "name = 'Another Account'": "I1",
    "created_at_ms = created_at_ms - 1": "I1",
    "name = x'00ff'": "file",
}
ENTRY = {
    (2, "amount_pico = amount_pico + 1"): "I1 I7 I8",
    (2, "amount_pico = amount_pico + 1, platform_pico = platform_pico - 1"): "I1 I7 I8",
    (2, "amount_pico = 0.5"): "file I1 I7 I8",
    (2, "platform_pico = platform_pico + 1"): "I7",
    (2, "platform = 'revenue'"): "I7",
    (2, "platform = null"): "I7",
    (2, "platform = 'nobody'"): "file I1 I7 I8",
    (2, "kind = 'nonsense'"): "file I1 I7 I8",
    (2, "kind = 'adjustment'"): "I7",
    (4, "kind = 'hold'"): "I5",
    (5, "at_ms = 9223372036854775807"): "file I1 I2 I6 I7 I8",
    (5, "overrun_pico = -1, platform_pico = platform_pico + 1"): "I6",
    (7, "overrun_pico = overrun_pico - 1"): "I7",
    (8, "balance_after_pico = 5"): "I1",
    (8, "held_after_pico = 5"): "I2",
    (8, "kind = 'extend'"): "I5",
    (9, "hold_id = 'h1'"): "I2 I5 I6",
    (9, "hold_id = null"): "I2 I5 I6",
    (9, "key_hash = null"): "I2 I5 I6",
    (9, "key_hash = 'x'"): "I1 I2 I6",
    (9, "seq = 20"): "I4",
    (14, "account_id = 'x'"): "I4",
    (14, f"account_id = '{LAST}', seq = 16, reference = 'x'"): "I4",
    (15, "amount_pico = amount_pico + 1, overrun_pico = -1"): "I1 I6 I7 I8",
    (15, "platform_pico = platform_pico + 1, overrun_pico = -1"): "I6",
    (15, "kind = 'usage'"): "I5",
    **{(15, f"hold_id = '{hold_id}'"): "I6" for hold_id in ("h1", "h3", "h6")},
    (15, "held_pico = 1"): "I2",
}
HOLD = {
    ("h1", "state = 'voided'"): "I6",
    ("h1", "state = 'nonsense'"): "file",
    ("h1", "state = 'open', charged_pico = null, ended_at_ms = null"): "I2 I6",
    ("h1", "amount_pico = amount_pico + 1"): "I6",
    ("h1", "charged_pico = charged_pico - 1"): "I6",
    ("h1", f"key_hash = '{KEY_2}'"): "I6",
    ("h1", f"account_id = '{LAST}', id = 'x'"): "I6",
    ("h5", "state = 'voided', charged_pico = 0, ended_at_ms = 5"): "I2 I6",
    ("h5", "amount_pico = amount_pico + 1"): "I2 I6",
}
KEY = {
    "usage_pico = 0": "I1",
    "held_pico = 1": "I2",
    "usage_day = usage_day + 1": "I1",
    "usage_daily_pico = 1": "I1",
    "usage_weekly_pico = 1": "I1",
    "usage_monthly_pico = 1": "I1",
    "kind = 'nonsense'": "file I1",
    f"account_id = '{LAST}'": "I1",
}
GENERATION = {
    ("h1", "state = 'expired'"): "I6",
    ("h1", "state = 'nonsense'"): "file",
    ("h1", "cost_pico = cost_pico + 1"): "I6",
    ("h1", "cost_pico = 0.5"): "file",
    ("h1", "idempotency = null"): "I6",
    ("h1", "record = substr(record, 2)"): "file",
    ("h1", "record = replace(record, '\"input\":', '\"input\":-')"): "file",
    ("h1", "record = x'00ff'"): "file",
    ("h1", "record = null"): "file",
    ("h1", "record = 5"): "file",
    ("h1", "record = '', packed = null"): "file",
    ("h1", "record = '', packed = x''"): "file",
    ("h1", "packed = 'text'"): "file",
    ("h1", "record = '', packed = x'0100ff'"): "file",
    ("h1", "packed = substr(packed, 1, length(packed) - 1)"): "file",
    ("h1", "packed = cast(x'09' || substr(packed, 2) as blob)"): "file",
    ("h1", f"packed = (select packed from generation {OF_ACCOUNT} and id = 'h2')"): "I6",
    ("h1", f"account_id = '{LAST}', id = 'x'"): "I1",
    ("h5", "state = 'captured', record = json_set(record, '$.state', 'captured')"): "I6",
}
RECORD = {
    "id": "'h9'",
    "account_id": f"'{LAST}'",
    "key_hash": f"'{KEY_2}'",
    "hold_pico": 5,
    "overrun_pico": 5,
    "created_at_ms": 5,
    "ended_at_ms": T0_MS + 1,
    "idempotency": "'another'",
    "lines[0].quantity": 5,
    "lines[0].rate": "'2e-12'",
    "lines[0].amount": "'1.5'",
    "lines": "json('[]')",
    "usage.input": 5,
    "usage.output": 5,
}
SUMS = ("requests", "usage_pico", "prompt_tokens", "completion_tokens", "cached_tokens")
ACTIVITY = {
    **{f"{name} = {name} + 1": "I1" for name in (*SUMS, "reasoning_tokens")},
    "quarter_hour = quarter_hour + 9000": "I1",
    "model = 'another'": "I1",
    "provider = 'another'": "I1",
    f"key_hash = '{KEY_2}'": "I1",
    f"account_id = '{LAST}', quarter_hour = quarter_hour - 9000": "I1",
    "requests = 0.5": "file",
    "model = x'00ff'": "file",
}
OF_ACCOUNT = f"where account_id = '{BROKEN}'"
ADD_ENTRY = "insert into entry select account_id, 16, kind, 'new', at_ms, balance_after_pico"
DAMAGE = {
    **{f"update account set {do} where id = '{BROKEN}'": inv for do, inv in ACCOUNT.items()},
    **{f"update entry set {do} {OF_ACCOUNT} and seq = {n}": i for (n, do), i in ENTRY.items()},
    **{f"update hold set {do} {OF_ACCOUNT} and id = '{n}'": i for (n, do), i in HOLD.items()},
    **{f"update api_key set {do} where hash = '{KEY_1}'": inv for do, inv in KEY.items()},
    **{
        f"update generation set {do} {OF_ACCOUNT} and id = '{n}'": i
        for (n, do), i in GENERATION.items()
    },
    **{
        f"update generation set record = json_set(record, '$.{name}', {value}) {OF_ACCOUNT} "
        "and id = 'h1'": "I6"
        for name, value in RECORD.items()
    },
    **{f"update activity set {do} {OF_ACCOUNT}": inv for do, inv in ACTIVITY.items()},
    f"delete from activity {OF_ACCOUNT}": "I1",
    f"delete from generation {OF_ACCOUNT} and id = 'h1'": "I1",
    f"delete from entry {OF_ACCOUNT}": "I1 I2 I4 I7 I8",
    f"delete from entry {OF_ACCOUNT} and seq = 1": "I4",
    f"delete from entry {OF_ACCOUNT} and seq = 9": "I2 I4 I6",
    f"delete from entry {OF_ACCOUNT} and seq = 14": "I4",
    f"delete from hold {OF_ACCOUNT} and id = 'h1'": "I6",
    f"delete from hold {OF_ACCOUNT} and id = 'h5'": "I2 I6",
    f"delete from api_key where hash = '{KEY_1}'": "I1",
    # More credits, another hold, a second charge for a hold, each without its rows.
    f"{ADD_ENTRY} + 1, held_after_pico, 1, 0, 'grants', -1, 0, null, null, 'x', null from entry "
    f"{OF_ACCOUNT} and seq = 2": "I1 I4 I7 I8",
    f"{ADD_ENTRY}, 0, 0, 0, null, 0, 0, 'h9', key_hash, null, null from entry "
    f"{OF_ACCOUNT} and seq = 8": "I1 I4 I6",
    f"{ADD_ENTRY}, 0, 0, 0, platform, 0, 0, hold_id, key_hash, null, null from entry "
    f"{OF_ACCOUNT} and seq = 5": "I1 I2 I4 I5 I6",
    f"delete from entry {OF_ACCOUNT} and seq = 15": "I1",
    f"{ADD_ENTRY} - 1, held_after_pico, -1, 0, platform, 1, 0, hold_id, key_hash, null, null from "
    f"entry {OF_ACCOUNT} and seq = 15": "I1 I4 I6",
}
NOWHERE = {
    "entries without an account": f"delete from account where id = '{BROKEN}'",
    "holds without an account": f"update hold set account_id = 'x' {OF_ACCOUNT} and id = 'h1'",
    "keys without an account": f"update api_key set account_id = 'x' where hash = '{KEY_1}'",
    "holds without an entry": "insert into hold select account_id, 'h9', key_hash, state, "
    "amount_pico, created_at_ms, expires_at_ms, charged_pico, ended_at_ms from hold "
    f"{OF_ACCOUNT} and id = 'h1'",
    "generations without a hold": f"update generation set id = 'x' {OF_ACCOUNT} and id = 'h3'",
    "answers without a generation": f"update answer set generation_id = 'x' {OF_ACCOUNT}",
    "activity without an account": f"update activity set account_id = 'x' {OF_ACCOUNT}",
    "The price 'price-1' cannot be read": "update price set tiers = '[]'",
}
# All that a check answers for; the other columns hold names, limits and the like.
CHECKED = {
    "account": "id, closed_at_ms, credits_pico, usage_pico, held_pico, last_seq",
    "entry": """account_id, seq, kind, balance_after_pico, held_after_pico, amount_pico, held_pico,
        platform, platform_pico, overrun_pico, hold_id, key_hash""",
    "hold": """account_id, id, key_hash, state, amount_pico, created_at_ms, charged_pico,
        ended_at_ms""",
    "api_key": """account_id, hash, held_pico, usage_pico, usage_day, usage_daily_pico,
        usage_weekly_pico, usage_monthly_pico""",
    "generation": """account_id, id, state, cost_pico, idempotency, json_extract(unpacked(packed),
        '$.lines', '$.id', '$.key_hash', '$.hold_pico', '$.cost_pico', '$.created_at_ms',
        '$.ended_at_ms')""",
    "activity": "*",
    "answer": "account_id, generation_id",
}
