-- The statements of the writer. Rows come in the order of the values in core/ledger/records.py and core/keys.py.

-- name: account
select * from account where id = ?;

-- name: hold
select * from hold where account_id = ? and id = ?;

-- name: key
select * from api_key where hash = ?;

-- name: prior
select * from entry where account_id = ? and reference = ?;

-- name: insert_account
insert into account values (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: update_account
update account set closed_at_ms = ?, credits_pico = ?, usage_pico = ?, held_pico = ?, last_seq = ?
 where id = ?;

-- name: insert_entry
insert into entry values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_hold
insert into hold values (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: update_hold
update hold set state = ?, amount_pico = ?, expires_at_ms = ?, charged_pico = ?, ended_at_ms = ?
 where account_id = ? and id = ?;

-- name: update_key_usage
update api_key
   set last_used_at_ms = ?, held_pico = ?, usage_pico = ?, usage_day = ?, usage_daily_pico = ?,
       usage_weekly_pico = ?, usage_monthly_pico = ?
 where hash = ?;

-- name: insert_key
insert into api_key (hash, account_id, kind, name, label, created_at_ms, limit_pico, limit_reset,
                     include_byok_in_limit, disabled, expires_at, expires_at_ms)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: update_key
update api_key
   set name = ?, limit_pico = ?, limit_reset = ?, include_byok_in_limit = ?, disabled = ?,
       updated_at_ms = ?, deleted_at_ms = ?
 where hash = ?;

-- name: issuance
select digest, nonce, key_hash from issuance where account_id = ? and reference = ?;

-- name: insert_issuance
insert into issuance values (?, ?, ?, ?, ?, ?);

-- name: forget_issuances
delete from issuance where (account_id, reference) in
  (select account_id, reference from issuance where at_ms < ? limit 1000);

-- name: save_generation
insert into generation values (?, ?, ?, ?, ?, ?)
    on conflict (id, account_id) do update
   set state = excluded.state, cost_pico = excluded.cost_pico, record = excluded.record;

-- name: add_activity
insert into activity values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (account_id, day, key_hash, endpoint_id, model) do update
   set requests = requests + excluded.requests,
       usage_pico = usage_pico + excluded.usage_pico,
       prompt_tokens = prompt_tokens + excluded.prompt_tokens,
       completion_tokens = completion_tokens + excluded.completion_tokens,
       reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
       cached_tokens = cached_tokens + excluded.cached_tokens;

-- name: insert_answer
insert into answer values (?, ?, ?, ?);

-- name: forget_answers
delete from answer where rowid in (select rowid from answer where at_ms < ? limit 50);

-- name: insert_price
insert into price values (?, ?, ?, ?, ?) on conflict (id) do nothing;
