-- The statements of the migration that splits days of activity into quarter hours, see `refold.py`.

-- name: create_fold
-- Without constraints, because records may be damaged. A sum that overflows becomes a float, and
-- its day is then not split.
create temp table fold (
  account_id, day, key_hash, endpoint_id, model, quarter_hour,
  requests integer, usage_pico integer, prompt_tokens integer, completion_tokens integer,
  reasoning_tokens integer, cached_tokens integer,
  primary key (account_id, day, key_hash, endpoint_id, model, quarter_hour)
) without rowid;

-- name: last_generation
select coalesce(max(rowid), 0) from generation;

-- name: generations
select rowid, account_id, record from generation order by rowid;

-- name: add_to_fold
insert into fold (account_id, day, key_hash, endpoint_id, model, quarter_hour, requests, usage_pico,
                  prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict do update
   set requests = requests + excluded.requests,
       usage_pico = usage_pico + excluded.usage_pico,
       prompt_tokens = prompt_tokens + excluded.prompt_tokens,
       completion_tokens = completion_tokens + excluded.completion_tokens,
       reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
       cached_tokens = cached_tokens + excluded.cached_tokens;

-- name: fold
select account_id, day, key_hash, endpoint_id, model, quarter_hour, requests, usage_pico,
       prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens
  from fold order by account_id, day, key_hash, endpoint_id, model, quarter_hour;

-- name: days
select account_id, day, key_hash, endpoint_id, model, provider, requests, usage_pico, prompt_tokens,
       completion_tokens, reasoning_tokens, cached_tokens
  from activity_by_day order by account_id, day, key_hash, endpoint_id, model;

-- name: insert_activity
insert into activity (account_id, quarter_hour, key_hash, endpoint_id, model, provider, requests,
                      usage_pico, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: changed_sums
select account_id, day
  from (select account_id, day, key_hash, endpoint_id, model, provider, requests, usage_pico,
               prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens
          from activity_by_day
        union all
        select account_id, quarter_hour / 96, key_hash, endpoint_id, model, provider, -requests,
               -usage_pico, -prompt_tokens, -completion_tokens, -reasoning_tokens, -cached_tokens
          from activity)
 group by account_id, day, key_hash, endpoint_id, model, provider
having sum(requests) <> 0 or sum(usage_pico) <> 0 or sum(prompt_tokens) <> 0
    or sum(completion_tokens) <> 0 or sum(reasoning_tokens) <> 0 or sum(cached_tokens) <> 0
 limit 1;

-- name: drop_fold
drop table fold;

-- name: drop_days
drop table activity_by_day;
