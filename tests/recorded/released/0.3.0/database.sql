BEGIN TRANSACTION;
CREATE TABLE account (
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
INSERT INTO "account" VALUES('user_5uTkJKB8zeJTktDGYKASh0','Acme Lab',0,1795439520000,NULL,100000000000000,50300000000,1063500000000,5);
CREATE TABLE activity (
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
INSERT INTO "activity" VALUES('user_5uTkJKB8zeJTktDGYKASh0',20780,'2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','acme/large','acme:large','acme',1,50300000000,3,5,0,0);
CREATE TABLE answer (
  account_id    text not null,
  generation_id text not null,
  body          blob not null,
  at_ms         integer not null,
  primary key (account_id, generation_id),
  foreign key (generation_id, account_id) references generation (id, account_id)
) strict;
INSERT INTO "answer" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0Sf9DTSDXp5yp08DxyTnB',X'7B226964223A2267656E2D302D305366394454534458703579703038447879546E42222C226F626A656374223A22636861742E636F6D706C6574696F6E222C2263726561746564223A312C226D6F64656C223A2261636D652F6C61726765222C2263686F69636573223A5B7B22696E646578223A302C226D657373616765223A7B22726F6C65223A2022617373697374616E74222C2022636F6E74656E74223A20226869227D2C2266696E6973685F726561736F6E223A2273746F70222C226E61746976655F66696E6973685F726561736F6E223A2273746F70227D5D2C227573616765223A7B2270726F6D70745F746F6B656E73223A332C22636F6D706C6574696F6E5F746F6B656E73223A352C22746F74616C5F746F6B656E73223A382C22636F7374223A302E303530332C2269735F62796F6B223A66616C73652C2270726F6D70745F746F6B656E735F64657461696C73223A7B226361636865645F746F6B656E73223A302C2263616368655F77726974655F746F6B656E73223A302C22617564696F5F746F6B656E73223A302C22766964656F5F746F6B656E73223A307D2C22636F73745F64657461696C73223A7B22757073747265616D5F696E666572656E63655F636F7374223A6E756C6C2C22757073747265616D5F696E666572656E63655F70726F6D70745F636F7374223A302E303030332C22757073747265616D5F696E666572656E63655F636F6D706C6574696F6E735F636F7374223A302E30357D2C22636F6D706C6574696F6E5F746F6B656E735F64657461696C73223A7B22726561736F6E696E675F746F6B656E73223A302C22696D6167655F746F6B656E73223A302C22617564696F5F746F6B656E73223A307D7D2C2270726F7669646572223A2261636D65222C2273797374656D5F66696E6765727072696E74223A6E756C6C7D',1795439521250);
CREATE TABLE api_key (
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
INSERT INTO "api_key" VALUES('2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','user_5uTkJKB8zeJTktDGYKASh0','inference','inference','sk-mg-v1-10C...Icg',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,1795439522250,1063500000000,50300000000,20780,50300000000,50300000000,50300000000);
INSERT INTO "api_key" VALUES('48cd3fb472e5e586ab9b889956e10d3aeebaf0052a51aba8a40fee4c0dfc0a7e','user_5uTkJKB8zeJTktDGYKASh0','viewer','viewer','sk-mg-v1-S3a...4W1',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('6a07a4379a4eb5b341205bc71e4cffacba702b33cac7cdc1b19b4052e2291eea','user_5uTkJKB8zeJTktDGYKASh0','management','management','sk-mg-v1-lOJ...zZZ',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
CREATE TABLE entry (
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
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',1,'open','open',1795439520000,0,0,0,0,NULL,0,0,NULL,NULL,'Acme Lab',0);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',2,'grant','grant:7e9747b88885bc1f40263436',1795439520000,100000000000000,0,100000000000000,0,'grants',-100000000000000,0,NULL,NULL,'recorded',NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',3,'hold','hold:gen-0-0Sf9DTSDXp5yp08DxyTnB',1795439521000,100000000000000,1061900000000,0,1061900000000,NULL,0,0,'gen-0-0Sf9DTSDXp5yp08DxyTnB','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',4,'usage','capture:gen-0-0Sf9DTSDXp5yp08DxyTnB',1795439521250,99949700000000,0,-50300000000,-1061900000000,'revenue',50300000000,0,'gen-0-0Sf9DTSDXp5yp08DxyTnB','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',5,'hold','hold:gen-1795439522-1hzmd8Mi7o7g3lAO7bKOj',1795439522250,99949700000000,1063500000000,0,1063500000000,NULL,0,0,'gen-1795439522-1hzmd8Mi7o7g3lAO7bKOj','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
CREATE TABLE generation (
  account_id  text not null,
  id          text not null,
  state       text not null check (state in ('open', 'captured', 'voided', 'expired')),
  cost_pico   integer not null check (cost_pico >= 0),
  idempotency text,
  record      text not null,
  check (state <> 'voided' or cost_pico = 0),
  foreign key (id, account_id) references hold (id, account_id)
) strict;
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0Sf9DTSDXp5yp08DxyTnB','captured',50300000000,'3eb8a361f271df31701abbd0c7488d6caaef9a5a2f1c0e6d37b06d8898fa3923','{"id":"gen-0-0Sf9DTSDXp5yp08DxyTnB","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-1"},"created_at_ms":1795439521000,"hold_pico":1061900000000,"prompt_tokens_max":619,"completion_tokens_max":100,"streamed":false,"state":"captured","ended_at_ms":1795439521250,"cost_pico":50300000000,"lines":[{"what":"input","quantity":3,"rate":"0.00010000","amount":"0.00030000"},{"what":"output","quantity":5,"rate":"0.010000","amount":"0.050000"}],"usage":{"input":3,"output":5},"reported":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8},"finish_reason":"stop","attempts":[{"provider":"acme","upstream_model":"large","started_at_ms":1795439521000,"first_byte_at_ms":1795439521250,"ended_at_ms":1795439521250,"status":200,"upstream_id":"chatcmpl-1"}],"idempotency":"3eb8a361f271df31701abbd0c7488d6caaef9a5a2f1c0e6d37b06d8898fa3923","request_digest":"7866db8009adfc1afc9618843201f7d7f6eee71ec7b9edc0b724a6141c4340e8"}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439522-1hzmd8Mi7o7g3lAO7bKOj','open',0,NULL,'{"id":"gen-1795439522-1hzmd8Mi7o7g3lAO7bKOj","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-2"},"created_at_ms":1795439522250,"hold_pico":1063500000000,"prompt_tokens_max":635,"completion_tokens_max":100,"streamed":true}');
CREATE TABLE hold (
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
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0Sf9DTSDXp5yp08DxyTnB','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','captured',1061900000000,1795439521000,1795439641000,50300000000,1795439521250);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439522-1hzmd8Mi7o7g3lAO7bKOj','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','open',1063500000000,1795439522250,1795439642250,NULL,NULL);
CREATE TABLE issuance (
  account_id text not null references account (id),
  reference  text not null,
  digest     text not null,
  nonce      blob not null,
  key_hash   text not null references api_key (hash),
  at_ms      integer not null,
  primary key (account_id, reference)
) strict, without rowid;
CREATE TABLE price (
  id          text primary key,
  endpoint_id text not null,
  from_ms     integer not null,
  source      text not null,
  tiers       text not null
) strict, without rowid;
INSERT INTO "price" VALUES('price_237bdfa99c35d5fb','acme:embed',0,'modelgates.toml','[{"above":0,"rates":{"output":"0","input":"1E-7"}}]');
INSERT INTO "price" VALUES('price_3d57536eaf32fd07','gone:large',0,'modelgates.toml','[{"above":0,"rates":{"input":"0.0001","output":"0.01"}}]');
INSERT INTO "price" VALUES('price_427760bc929c3ebe','acme:later',1893456000000,'modelgates.toml','[{"above":0,"rates":{"input":"0.0001","output":"0.01"}}]');
INSERT INTO "price" VALUES('price_eb3100f9296982ab','acme:large',0,'modelgates.toml','[{"above":0,"rates":{"input":"0.0001","cache_read":"0.00001","output":"0.01"}}]');
INSERT INTO "price" VALUES('price_sandbox_chaos_1','sandbox:chaos',0,'sandbox','[{"above":0,"rates":{"input":"0.000001","cache_read":"1E-7","output":"0.000002","request":"0","reasoning":"0.000003"}}]');
INSERT INTO "price" VALUES('price_sandbox_echo_1','sandbox:echo',0,'sandbox','[{"above":0,"rates":{"input":"0.000001","cache_read":"1E-7","output":"0.000002","request":"0"}}]');
INSERT INTO "price" VALUES('price_sandbox_embed_1','sandbox:embed',0,'sandbox','[{"above":0,"rates":{"input":"1E-7","output":"0"}}]');
INSERT INTO "price" VALUES('price_sandbox_lorem_1','sandbox:lorem',0,'sandbox','[{"above":0,"rates":{"input":"0.000001","cache_read":"1E-7","output":"0.000002","request":"0","reasoning":"0.000003"}}]');
CREATE UNIQUE INDEX entry_reference on entry (reference, account_id);
CREATE UNIQUE INDEX entry_hold_ends_once on entry (hold_id, account_id)
  where kind in ('usage', 'void', 'expire');
CREATE TRIGGER entry_is_never_changed before update on entry
begin select raise(abort, 'entries are never changed'); end;
CREATE TRIGGER entry_is_never_deleted before delete on entry
begin select raise(abort, 'entries are never deleted'); end;
CREATE INDEX hold_open on hold (expires_at_ms) where state = 'open';
CREATE TRIGGER hold_ends_once before update on hold when old.state <> 'open'
begin select raise(abort, 'a hold ends once'); end;
CREATE TRIGGER hold_is_never_deleted before delete on hold
begin select raise(abort, 'holds are never deleted'); end;
CREATE INDEX api_key_of_account on api_key (account_id, created_at_ms desc, hash);
CREATE INDEX issuance_age on issuance (at_ms);
CREATE UNIQUE INDEX generation_id on generation (id, account_id);
CREATE INDEX generation_idempotency on generation (idempotency, account_id)
  where idempotency is not null;
CREATE TRIGGER generation_ends_once before update on generation when old.state <> 'open'
begin select raise(abort, 'a generation ends once'); end;
CREATE TRIGGER generation_is_never_deleted before delete on generation
begin select raise(abort, 'generations are never deleted'); end;
CREATE INDEX answer_age on answer (at_ms);
CREATE TRIGGER price_is_never_changed before update on price
begin select raise(abort, 'prices are never changed'); end;
CREATE TRIGGER price_is_never_deleted before delete on price
begin select raise(abort, 'prices are never deleted'); end;
CREATE INDEX hold_open_of_account on hold (account_id, created_at_ms, amount_pico, state)
  where state = 'open';
COMMIT;
pragma user_version = 2;
pragma application_id = 1296518193;
