-- Amounts are pico-dollars (1e-12), instants milliseconds since 1970, both UTC and int64.
-- STRICT: without it an int64 overflow silently becomes a float.
--
-- Where rows are born in the order of time they are kept in that order: entries by rowid, holds and
-- references by their own names. Keyed by account first, each would dirty a page of its own: four
-- times the bytes to sync for a batch of calls on many accounts (measured, docs/decisions).

create table account (
  id               text primary key,
  name             text not null,
  min_balance_pico integer not null check (min_balance_pico <= 0),
  created_at_ms    integer not null,
  closed_at_ms     integer,
  credits_pico     integer not null,
  usage_pico       integer not null check (usage_pico >= 0),
  held_pico        integer not null check (held_pico >= 0),
  last_seq         integer not null check (last_seq > 0),
  check (credits_pico - usage_pico - held_pico >= min_balance_pico)
) strict, without rowid;

create table entry (
  account_id         text not null references account (id),
  seq                integer not null check (seq > 0),
  kind               text not null,
  reference          text not null,
  at_ms              integer not null,
  balance_after_pico integer not null,
  held_after_pico    integer not null check (held_after_pico >= 0),
  amount_pico        integer not null,
  held_pico          integer not null,
  platform           text,
  platform_pico      integer not null,
  overrun_pico       integer not null check (overrun_pico <= 0),
  hold_id            text,
  key_hash           text,
  reason             text,
  min_balance_pico   integer,
  unique (account_id, seq),
  check (amount_pico + platform_pico + overrun_pico = 0),
  check (platform is not null or platform_pico = 0),
  check ((kind = 'open') = (min_balance_pico is not null))
) strict;

create unique index entry_reference on entry (reference, account_id);
create unique index entry_hold_ends_once on entry (hold_id, account_id)
  where kind in ('usage', 'void', 'expire');

create trigger entry_is_never_changed before update on entry
begin select raise(abort, 'entries are never changed'); end;
create trigger entry_is_never_deleted before delete on entry
begin select raise(abort, 'entries are never deleted'); end;

create table hold (
  account_id    text not null references account (id),
  id            text not null,
  key_hash      text not null references api_key (hash),
  state         text not null check (state in ('open', 'captured', 'voided', 'expired')),
  amount_pico   integer not null check (amount_pico >= 0),
  created_at_ms integer not null,
  expires_at_ms integer not null,
  charged_pico  integer check (charged_pico between 0 and amount_pico),
  ended_at_ms   integer,
  primary key (id, account_id),
  check ((state = 'open') = (charged_pico is null)),
  check ((state = 'open') = (ended_at_ms is null))
) strict, without rowid;

create index hold_open on hold (expires_at_ms) where state = 'open';

create trigger hold_ends_once before update on hold when old.state <> 'open'
begin select raise(abort, 'a hold ends once'); end;
create trigger hold_is_never_deleted before delete on hold
begin select raise(abort, 'holds are never deleted'); end;

create table api_key (
  hash                  text primary key check (length(hash) = 64),
  account_id            text not null references account (id),
  kind                  text not null check (kind in ('management', 'inference', 'viewer')),
  name                  text not null,
  label                 text not null,
  created_at_ms         integer not null,
  limit_pico            integer check (limit_pico >= 0),
  limit_reset           text check (limit_reset in ('daily', 'weekly', 'monthly')),
  include_byok_in_limit integer not null check (include_byok_in_limit in (0, 1)),
  disabled              integer not null check (disabled in (0, 1)),
  expires_at            text,
  expires_at_ms         integer,
  updated_at_ms         integer,
  deleted_at_ms         integer,
  last_used_at_ms       integer,
  held_pico             integer not null default 0 check (held_pico >= 0),
  usage_pico            integer not null default 0 check (usage_pico >= 0),
  usage_day             integer not null default 0,
  usage_daily_pico      integer not null default 0 check (usage_daily_pico >= 0),
  usage_weekly_pico     integer not null default 0 check (usage_weekly_pico >= 0),
  usage_monthly_pico    integer not null default 0 check (usage_monthly_pico >= 0)
) strict, without rowid;

create index api_key_of_account on api_key (account_id, created_at_ms desc, hash);

-- What a repeated POST /keys with the same Idempotency-Key needs for 24 hours. The nonce alone opens
-- nothing: the new key's text comes from it and the caller's own key, which is not stored.
create table issuance (
  account_id text not null references account (id),
  reference  text not null,
  digest     text not null,
  nonce      blob not null,
  key_hash   text not null references api_key (hash),
  at_ms      integer not null,
  primary key (account_id, reference)
) strict, without rowid;

create index issuance_age on issuance (at_ms);
