-- The fold of an account's generations: what one key spent on one endpoint of a model in a quarter
-- hour, so that the days of every time zone are sums of rows (docs/decisions/0033).
--
-- The call of late usage was counted at its expiry, so `requests` can be 0. `refold.py` fills the
-- table from the generations, and drops the old one.
alter table activity rename to activity_by_day;

create table activity (
  account_id        text not null references account (id),
  quarter_hour      integer not null,
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
  primary key (account_id, quarter_hour, key_hash, endpoint_id, model)
) strict, without rowid;
