-- What a call was and what it cost, saved in the commit of its hold (docs/decisions/0009).
--
-- `record` is the whole generation as JSON. Beside it stand only the members that the database itself
-- looks for or guards; `modelgates ledger verify` checks that they say the same. Generations are born
-- in the order of time and kept in it, as entries are: by rowid.
create table generation (
  account_id  text not null,
  id          text not null,
  state       text not null check (state in ('open', 'captured', 'voided', 'expired')),
  cost_pico   integer not null check (cost_pico >= 0),
  idempotency text,
  record      text not null,
  check (state <> 'voided' or cost_pico = 0),
  foreign key (id, account_id) references hold (id, account_id)
) strict;

create unique index generation_id on generation (id, account_id);
create index generation_idempotency on generation (idempotency, account_id)
  where idempotency is not null;

create trigger generation_ends_once before update on generation when old.state <> 'open'
begin select raise(abort, 'a generation ends once'); end;
create trigger generation_is_never_deleted before delete on generation
begin select raise(abort, 'generations are never deleted'); end;

-- The fold of an account's generations: what one key spent on one endpoint of a model in a UTC day.
create table activity (
  account_id        text not null references account (id),
  day               integer not null,
  key_hash          text not null references api_key (hash),
  model             text not null,
  endpoint_id       text not null,
  provider          text not null,
  requests          integer not null check (requests > 0),
  usage_pico        integer not null check (usage_pico >= 0),
  prompt_tokens     integer not null check (prompt_tokens >= 0),
  completion_tokens integer not null check (completion_tokens >= 0),
  reasoning_tokens  integer not null check (reasoning_tokens >= 0),
  cached_tokens     integer not null check (cached_tokens >= 0),
  primary key (account_id, day, key_hash, endpoint_id, model)
) strict, without rowid;

-- Answers of calls with an Idempotency-Key, for a day. With rowids: a body may be many pages long.
create table answer (
  account_id    text not null,
  generation_id text not null,
  body          blob not null,
  at_ms         integer not null,
  primary key (account_id, generation_id),
  foreign key (generation_id, account_id) references generation (id, account_id)
) strict;

create index answer_age on answer (at_ms);

-- `tiers` is JSON, its rates are exact decimals of dollars as text.
create table price (
  id          text primary key,
  endpoint_id text not null,
  from_ms     integer not null,
  source      text not null,
  tiers       text not null
) strict, without rowid;

create trigger price_is_never_changed before update on price
begin select raise(abort, 'prices are never changed'); end;
create trigger price_is_never_deleted before delete on price
begin select raise(abort, 'prices are never deleted'); end;

-- An account's calls that run, and all there are. For SQLite the index covers a read only with
-- `state` in it, though all its rows are open.
create index hold_open_of_account on hold (account_id, created_at_ms, amount_pico, state)
  where state = 'open';
