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
INSERT INTO "account" VALUES('user_5uTkJKB8zeJTktDGYKASh0','Acme Lab',0,1795439520000,NULL,104666666666666,383456789012,6000000000000,18);
INSERT INTO "account" VALUES('user_73f6naXmCExhfWktbO8E6R','Acme Lab',0,1795439520000,1795439520000,0,0,0,4);
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
INSERT INTO "api_key" VALUES('19256ac250accbda2df00273c34057803ee7a63151a653a2c584efe33b23dd25','user_5uTkJKB8zeJTktDGYKASh0','inference','day','sk-mg-v1-d3H...1st',1795439522000,250000000000,NULL,0,1,'2026-12-24T00:00:00Z',1798070400000,1795439523000,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','user_5uTkJKB8zeJTktDGYKASh0','inference','inference','sk-mg-v1-10C...Icg',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,1795439536750,5000000000000,133456789012,20780,133456789012,133456789012,133456789012);
INSERT INTO "api_key" VALUES('48cd3fb472e5e586ab9b889956e10d3aeebaf0052a51aba8a40fee4c0dfc0a7e','user_5uTkJKB8zeJTktDGYKASh0','viewer','viewer','sk-mg-v1-S3a...4W1',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('6a07a4379a4eb5b341205bc71e4cffacba702b33cac7cdc1b19b4052e2291eea','user_5uTkJKB8zeJTktDGYKASh0','management','management','sk-mg-v1-lOJ...zZZ',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('97ca98f159460e5cd4c56c88f70a74a841832612104fa42d10b087830ee459af','user_73f6naXmCExhfWktbO8E6R','inference','inference','sk-mg-v1-hrc...d3x',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('b3d4fbfa30860b0150bb84859a8d2ea0f36a0ac74265a56dd1f790e34e515eba','user_73f6naXmCExhfWktbO8E6R','viewer','viewer','sk-mg-v1-q5i...QyM',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727','user_5uTkJKB8zeJTktDGYKASh0','inference','limited','sk-mg-v1-avo...ul5',1795439521000,5000000000000,'weekly',1,0,NULL,NULL,NULL,NULL,1795439535500,1000000000000,250000000000,20780,250000000000,250000000000,250000000000);
INSERT INTO "api_key" VALUES('cdcaa07ba657c8d92d5d66b66d32774c4d7545ac10db318e7d4f1126ed541e64','user_5uTkJKB8zeJTktDGYKASh0','inference','deleted','sk-mg-v1-Dtw...Nq8',1795439524000,NULL,NULL,0,0,NULL,NULL,1795439525000,1795439525000,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('d4543b0d2462b45002662ad15d1adff512ac5c79c2ba4394491fe2c240530bd6','user_73f6naXmCExhfWktbO8E6R','management','management','sk-mg-v1-REH...2Dr',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
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
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',3,'grant','pilot-1',1795439520000,105000000000000,0,5000000000000,0,'grants',-5000000000000,0,NULL,NULL,'pilot',NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',4,'adjustment','ticket-4711',1795439520000,104666666666666,0,-333333333334,0,'adjustments',333333333334,0,NULL,NULL,'granted twice',NULL);
INSERT INTO "entry" VALUES('user_73f6naXmCExhfWktbO8E6R',1,'open','open',1795439520000,0,0,0,0,NULL,0,0,NULL,NULL,'Acme Lab',0);
INSERT INTO "entry" VALUES('user_73f6naXmCExhfWktbO8E6R',2,'grant','grant:adea0c13b50514bcbc61f50e',1795439520000,100000000000000,0,100000000000000,0,'grants',-100000000000000,0,NULL,NULL,'recorded',NULL);
INSERT INTO "entry" VALUES('user_73f6naXmCExhfWktbO8E6R',3,'adjustment','adjustment:1d49ff272d795b7fdffc1d1c',1795439520000,0,0,-100000000000000,0,'adjustments',100000000000000,0,NULL,NULL,'recorded',NULL);
INSERT INTO "entry" VALUES('user_73f6naXmCExhfWktbO8E6R',4,'close','close',1795439520000,0,0,0,0,NULL,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',5,'hold','hold:gen-captured',1795439526000,104666666666666,1000000000000,0,1000000000000,NULL,0,0,'gen-captured','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',6,'usage','capture:gen-captured',1795439526250,104543209877654,0,-123456789012,-1000000000000,'revenue',123456789012,0,'gen-captured','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',7,'hold','hold:gen-limited',1795439527250,104543209877654,500000000000,0,500000000000,NULL,0,0,'gen-limited','c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',8,'usage','capture:gen-limited',1795439527500,104293209877654,0,-250000000000,-500000000000,'revenue',250000000000,0,'gen-limited','c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',9,'hold','hold:gen-voided',1795439528500,104293209877654,1000000000000,0,1000000000000,NULL,0,0,'gen-voided','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',10,'void','void:gen-voided',1795439528750,104293209877654,0,0,-1000000000000,NULL,0,0,'gen-voided','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',11,'hold','hold:gen-overrun',1795439529750,104293209877654,10000000000,0,10000000000,NULL,0,0,'gen-overrun','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',12,'usage','capture:gen-overrun',1795439530000,104283209877654,0,-10000000000,-10000000000,'revenue',100000000000,-90000000000,'gen-overrun','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',13,'hold','hold:gen-expired',1795439531000,104283209877654,1000000000000,0,1000000000000,NULL,0,0,'gen-expired','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',14,'expire','expire:gen-expired',1795439533250,104283209877654,0,0,-1000000000000,'revenue',0,0,'gen-expired','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',15,'hold','hold:gen-extended',1795439534250,104283209877654,1000000000000,0,1000000000000,NULL,0,0,'gen-extended','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',16,'extend','extend:gen-extended:1',1795439534500,104283209877654,2000000000000,0,1000000000000,NULL,0,0,'gen-extended','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',17,'hold','hold:gen-running',1795439535500,104283209877654,3000000000000,0,1000000000000,NULL,0,0,'gen-running','c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',18,'hold','hold:gen-lost',1795439536750,104283209877654,6000000000000,0,3000000000000,NULL,0,0,'gen-lost','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
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
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-captured','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','captured',1000000000000,1795439526000,1795440126000,123456789012,1795439526250);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-expired','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','expired',1000000000000,1795439531000,1795439532000,0,1795439533250);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-extended','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','open',2000000000000,1795439534250,1795440434500,NULL,NULL);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-limited','c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727','captured',500000000000,1795439527250,1795440127250,250000000000,1795439527500);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-lost','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','open',3000000000000,1795439536750,1795439596750,NULL,NULL);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-overrun','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','captured',10000000000,1795439529750,1795440129750,10000000000,1795439530000);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-running','c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727','open',1000000000000,1795439535500,1795440135500,NULL,NULL);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-voided','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','voided',1000000000000,1795439528500,1795440128500,0,1795439528750);
CREATE TABLE issuance (
  account_id text not null references account (id),
  reference  text not null,
  digest     text not null,
  nonce      blob not null,
  key_hash   text not null references api_key (hash),
  at_ms      integer not null,
  primary key (account_id, reference)
) strict, without rowid;
INSERT INTO "issuance" VALUES('user_5uTkJKB8zeJTktDGYKASh0','3ed2488f51f11184faf2d0270d3692b151862c1f03e0125a57d9936889570c90','daa54924408689eaa4b57ef29627b8d5b9f1c0be9a203c208a37b98d987ca088',X'46B707A86243B88E0FCBF6D749A071B2660D3686D3AEC1A70F4AFFA77FC319D9','cdcaa07ba657c8d92d5d66b66d32774c4d7545ac10db318e7d4f1126ed541e64',1795439524000);
INSERT INTO "issuance" VALUES('user_5uTkJKB8zeJTktDGYKASh0','79b081bb4383e6d58db877e3cae01407cd7b4514f155046e66d5fb7afbe34c12','a5fd774cdaee542b9e8f2ffabc76fc519537eb0c59b42cf3a81c43ce04f1213c',X'8F549E5F8CCA1BA5AC3C6140314B2F6210D6CBCB0D8DB6505D062B61F61B8314','c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727',1795439521000);
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
COMMIT;
pragma user_version = 1;
pragma application_id = 1296518193;
