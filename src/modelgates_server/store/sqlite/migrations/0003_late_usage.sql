-- Usage that became known after its hold had expired, once for each hold (docs/decisions/0031). A
-- trigger that checks the hold would make every insert into `entry` a third slower; the rules and
-- `modelgates ledger verify` check it.
create unique index entry_late_usage_once on entry (hold_id, account_id) where kind = 'late_usage';

-- The call of late usage was counted at its expiry, so `requests` of a day can be 0.
create table activity_with_late_usage (
  account_id        text not null references account (id),
  day               integer not null,
  key_hash          text not null references api_key (hash),
  model             text not null,
  endpoint_id       text not null,
  provider          text not null,
  requests          integer not null check (requests >= 0),
  usage_pico        integer not null check (usage_pico >= 0),
  prompt_tokens     integer not null check (prompt_tokens >= 0),
  completion_tokens integer not null check (completion_tokens >= 0),
  reasoning_tokens  integer not null check (reasoning_tokens >= 0),
  cached_tokens     integer not null check (cached_tokens >= 0),
  primary key (account_id, day, key_hash, endpoint_id, model)
) strict, without rowid;

insert into activity_with_late_usage select * from activity;
drop table activity;
alter table activity_with_late_usage rename to activity;
