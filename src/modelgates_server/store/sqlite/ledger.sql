-- The statements of the writer. Braces insert the fields of a struct, see `store/sql.py`.

-- name: account
select {account} from account where id = ?;

-- name: hold
select {hold} from hold where account_id = ? and id = ?;

-- name: key
select {key} from api_key where hash = ?;

-- name: prior
select {entry} from entry where account_id = ? and reference = ?;

-- name: insert_account
insert into account ({account}) values ({account:values});

-- name: update_account
update account
   set closed_at_ms = :closed_at_ms, credits_pico = :credits_pico, usage_pico = :usage_pico,
       held_pico = :held_pico, last_seq = :last_seq
 where id = :id;

-- name: insert_entry
insert into entry ({entry}) values ({entry:values});

-- name: insert_hold
insert into hold ({hold}) values ({hold:values});

-- name: update_hold
update hold
   set state = :state, amount_pico = :amount_pico, expires_at_ms = :expires_at_ms,
       charged_pico = :charged_pico, ended_at_ms = :ended_at_ms
 where account_id = :account_id and id = :id;

-- name: update_key_usage
update api_key
   set last_used_at_ms = :last_used_at_ms, held_pico = :held_pico, usage_pico = :usage_pico,
       usage_day = :usage_day, usage_daily_pico = :usage_daily_pico,
       usage_weekly_pico = :usage_weekly_pico, usage_monthly_pico = :usage_monthly_pico
 where hash = :hash;

-- name: insert_key
insert into api_key ({key}) values ({key:values});

-- name: update_key
-- Updates the whole row, which was read in the same transaction.
update api_key set ({key}) = ({key:values}) where hash = :hash;

-- name: key_secrets
select {key_secret} from key_secret where key_hash = ? order by created_at_ms, hash;

-- name: save_key_secret
insert into key_secret ({key_secret}) values ({key_secret:values})
    on conflict (hash) do update set ends_at_ms = excluded.ends_at_ms;

-- name: key_creation_record
select {key_creation_record} from issuance where account_id = ? and reference = ?;

-- name: insert_key_creation_record
insert into issuance ({key_creation_record}) values ({key_creation_record:values});

-- name: forget_key_creation_records
delete from issuance where (account_id, reference) in
  (select account_id, reference from issuance where at_ms < ? limit 1000);

-- name: save_generation
insert into generation (account_id, id, state, cost_pico, idempotency, record, packed)
values (:account_id, :id, :state, :cost_pico, :idempotency, '', :packed)
    on conflict (id, account_id) do update
   set state = excluded.state, cost_pico = excluded.cost_pico, record = '',
       packed = excluded.packed;

-- name: add_activity
-- The account is not a field of an activity row; it comes first.
insert into activity (account_id, {activity}) values (?, {activity:values})
    on conflict (account_id, quarter_hour, key_hash, endpoint_id, model) do update
   set requests = requests + excluded.requests,
       usage_pico = usage_pico + excluded.usage_pico,
       prompt_tokens = prompt_tokens + excluded.prompt_tokens,
       completion_tokens = completion_tokens + excluded.completion_tokens,
       reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
       cached_tokens = cached_tokens + excluded.cached_tokens;

-- name: insert_answer
insert into answer ({answer}) values ({answer:values});

-- name: forget_answers
delete from answer where rowid in (select rowid from answer where at_ms < ? limit 50);

-- name: insert_price
insert into price ({price}) values ({price:values}) on conflict (id) do nothing;
