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
INSERT INTO "account" VALUES('user_5uTkJKB8zeJTktDGYKASh0','Acme Lab',0,1795439520000,NULL,104666666666666,1351320700000,4252000000000,25);
INSERT INTO "account" VALUES('user_73f6naXmCExhfWktbO8E6R','Acme Lab',0,1795439520000,1795439520000,0,0,0,4);
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
INSERT INTO "activity" VALUES('user_5uTkJKB8zeJTktDGYKASh0',20780,'2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','acme/embed','acme:embed','acme',1,700000,7,0,0,0);
INSERT INTO "activity" VALUES('user_5uTkJKB8zeJTktDGYKASh0',20780,'2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','acme/large','acme:large','acme',5,1301110000000,10012,30,2,1);
INSERT INTO "activity" VALUES('user_5uTkJKB8zeJTktDGYKASh0',20780,'c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727','acme/large','acme:large','acme',1,50210000000,3,5,2,1);
CREATE TABLE answer (
  account_id    text not null,
  generation_id text not null,
  body          blob not null,
  at_ms         integer not null,
  primary key (account_id, generation_id),
  foreign key (generation_id, account_id) references generation (id, account_id)
) strict;
INSERT INTO "answer" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0Sf9DTSDXp5yp08DxyTnB',X'7B226964223A2267656E2D302D305366394454534458703579703038447879546E42222C226F626A656374223A22636861742E636F6D706C6574696F6E222C2263726561746564223A312C226D6F64656C223A2261636D652F6C61726765222C2263686F69636573223A5B7B22696E646578223A302C226D657373616765223A7B22726F6C65223A2022617373697374616E74222C2022636F6E74656E74223A20226869227D2C2266696E6973685F726561736F6E223A2273746F70222C226E61746976655F66696E6973685F726561736F6E223A2273746F70227D5D2C227573616765223A7B2270726F6D70745F746F6B656E73223A332C22636F6D706C6574696F6E5F746F6B656E73223A352C22746F74616C5F746F6B656E73223A382C22636F7374223A302E30353032312C2269735F62796F6B223A66616C73652C2270726F6D70745F746F6B656E735F64657461696C73223A7B226361636865645F746F6B656E73223A312C2263616368655F77726974655F746F6B656E73223A302C22617564696F5F746F6B656E73223A302C22766964656F5F746F6B656E73223A307D2C22636F73745F64657461696C73223A7B22757073747265616D5F696E666572656E63655F636F7374223A6E756C6C2C22757073747265616D5F696E666572656E63655F70726F6D70745F636F7374223A302E30303032312C22757073747265616D5F696E666572656E63655F636F6D706C6574696F6E735F636F7374223A302E30357D2C22636F6D706C6574696F6E5F746F6B656E735F64657461696C73223A7B22726561736F6E696E675F746F6B656E73223A322C22696D6167655F746F6B656E73223A302C22617564696F5F746F6B656E73223A307D7D2C2270726F7669646572223A2261636D65222C2273797374656D5F66696E6765727072696E74223A6E756C6C7D',1795439526250);
INSERT INTO "answer" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1-0dENj2YfAwwxv32AZmlhQ',X'7B226964223A2267656E2D312D3064454E6A32596641777778763332415A6D6C6851222C226F626A656374223A22636861742E636F6D706C6574696F6E222C2263726561746564223A312C226D6F64656C223A2261636D652F6C61726765222C2263686F69636573223A5B7B22696E646578223A302C226D657373616765223A7B22726F6C65223A2022617373697374616E74222C2022636F6E74656E74223A20226869227D2C2266696E6973685F726561736F6E223A2273746F70222C226E61746976655F66696E6973685F726561736F6E223A2273746F70227D5D2C227573616765223A7B2270726F6D70745F746F6B656E73223A332C22636F6D706C6574696F6E5F746F6B656E73223A352C22746F74616C5F746F6B656E73223A382C22636F7374223A302E303530332C2269735F62796F6B223A66616C73652C2270726F6D70745F746F6B656E735F64657461696C73223A7B226361636865645F746F6B656E73223A302C2263616368655F77726974655F746F6B656E73223A302C22617564696F5F746F6B656E73223A302C22766964656F5F746F6B656E73223A307D2C22636F73745F64657461696C73223A7B22757073747265616D5F696E666572656E63655F636F7374223A6E756C6C2C22757073747265616D5F696E666572656E63655F70726F6D70745F636F7374223A302E303030332C22757073747265616D5F696E666572656E63655F636F6D706C6574696F6E735F636F7374223A302E30357D2C22636F6D706C6574696F6E5F746F6B656E735F64657461696C73223A7B22726561736F6E696E675F746F6B656E73223A302C22696D6167655F746F6B656E73223A302C22617564696F5F746F6B656E73223A307D7D2C2270726F7669646572223A2261636D65222C2273797374656D5F66696E6765727072696E74223A6E756C6C7D',1795439528750);
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
INSERT INTO "api_key" VALUES('2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','user_5uTkJKB8zeJTktDGYKASh0','inference','inference','sk-mg-v1-10C...Icg',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,1795439539750,4252000000000,1301110700000,20780,1301110700000,1301110700000,1301110700000);
INSERT INTO "api_key" VALUES('48cd3fb472e5e586ab9b889956e10d3aeebaf0052a51aba8a40fee4c0dfc0a7e','user_5uTkJKB8zeJTktDGYKASh0','viewer','viewer','sk-mg-v1-S3a...4W1',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('6a07a4379a4eb5b341205bc71e4cffacba702b33cac7cdc1b19b4052e2291eea','user_5uTkJKB8zeJTktDGYKASh0','management','management','sk-mg-v1-lOJ...zZZ',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('97ca98f159460e5cd4c56c88f70a74a841832612104fa42d10b087830ee459af','user_73f6naXmCExhfWktbO8E6R','inference','inference','sk-mg-v1-hrc...d3x',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('b3d4fbfa30860b0150bb84859a8d2ea0f36a0ac74265a56dd1f790e34e515eba','user_73f6naXmCExhfWktbO8E6R','viewer','viewer','sk-mg-v1-q5i...QyM',1795439520000,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,0,0,0,0,0);
INSERT INTO "api_key" VALUES('c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727','user_5uTkJKB8zeJTktDGYKASh0','inference','limited','sk-mg-v1-avo...ul5',1795439521000,5000000000000,'weekly',1,0,NULL,NULL,NULL,NULL,1795439532250,0,50210000000,20780,50210000000,50210000000,50210000000);
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
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',5,'hold','hold:gen-0-0Sf9DTSDXp5yp08DxyTnB',1795439526000,104666666666666,1064000000000,0,1064000000000,NULL,0,0,'gen-0-0Sf9DTSDXp5yp08DxyTnB','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',6,'usage','capture:gen-0-0Sf9DTSDXp5yp08DxyTnB',1795439526250,104616456666666,0,-50210000000,-1064000000000,'revenue',50210000000,0,'gen-0-0Sf9DTSDXp5yp08DxyTnB','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',7,'hold','hold:gen-0-0dENj2YfAwwxv32AZmlhQ',1795439527250,104616456666666,1061900000000,0,1061900000000,NULL,0,0,'gen-0-0dENj2YfAwwxv32AZmlhQ','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',8,'void','void:gen-0-0dENj2YfAwwxv32AZmlhQ',1795439527500,104616456666666,0,0,-1061900000000,NULL,0,0,'gen-0-0dENj2YfAwwxv32AZmlhQ','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',9,'hold','hold:gen-1-0dENj2YfAwwxv32AZmlhQ',1795439528500,104616456666666,1061900000000,0,1061900000000,NULL,0,0,'gen-1-0dENj2YfAwwxv32AZmlhQ','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',10,'usage','capture:gen-1-0dENj2YfAwwxv32AZmlhQ',1795439528750,104566156666666,0,-50300000000,-1061900000000,'revenue',50300000000,0,'gen-1-0dENj2YfAwwxv32AZmlhQ','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',11,'hold','hold:gen-1795439529-1pvw1Yb4HJ63Yzsk2x7s5',1795439529750,104566156666666,1063800000000,0,1063800000000,NULL,0,0,'gen-1795439529-1pvw1Yb4HJ63Yzsk2x7s5','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',12,'usage','capture:gen-1795439529-1pvw1Yb4HJ63Yzsk2x7s5',1795439530000,104515856666666,0,-50300000000,-1063800000000,'revenue',50300000000,0,'gen-1795439529-1pvw1Yb4HJ63Yzsk2x7s5','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',13,'hold','hold:gen-1795439531-0wIvLM86IWxGcEwYUy67b',1795439531000,104515856666666,1063200000000,0,1063200000000,NULL,0,0,'gen-1795439531-0wIvLM86IWxGcEwYUy67b','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',14,'usage','capture:gen-1795439531-0wIvLM86IWxGcEwYUy67b',1795439531250,103465956666666,0,-1049900000000,-1063200000000,'revenue',1049900000000,0,'gen-1795439531-0wIvLM86IWxGcEwYUy67b','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',15,'hold','hold:gen-1795439532-0OWpWvCUndJSqrvJqRM4b',1795439532250,103465956666666,1062100000000,0,1062100000000,NULL,0,0,'gen-1795439532-0OWpWvCUndJSqrvJqRM4b','c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',16,'usage','capture:gen-1795439532-0OWpWvCUndJSqrvJqRM4b',1795439532500,103415746666666,0,-50210000000,-1062100000000,'revenue',50210000000,0,'gen-1795439532-0OWpWvCUndJSqrvJqRM4b','c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',17,'hold','hold:gen-1795439533-0ED0YpdCAZmQx2Uz1BRQ1',1795439533500,103415746666666,59200000,0,59200000,NULL,0,0,'gen-1795439533-0ED0YpdCAZmQx2Uz1BRQ1','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',18,'usage','capture:gen-1795439533-0ED0YpdCAZmQx2Uz1BRQ1',1795439533750,103415745966666,0,-700000,-59200000,'revenue',700000,0,'gen-1795439533-0ED0YpdCAZmQx2Uz1BRQ1','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',19,'hold','hold:gen-1795439534-0A7cAavpKNPtzYwRLenwt',1795439534750,103415745966666,159900000000,0,159900000000,NULL,0,0,'gen-1795439534-0A7cAavpKNPtzYwRLenwt','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',20,'usage','capture:gen-1795439534-0A7cAavpKNPtzYwRLenwt',1795439535000,103315345966666,0,-100400000000,-159900000000,'revenue',100400000000,0,'gen-1795439534-0A7cAavpKNPtzYwRLenwt','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',21,'hold','hold:gen-0-1Nc16hdvmNebO2fsbWr1z',1795439536000,103315345966666,1061800000000,0,1061800000000,NULL,0,0,'gen-0-1Nc16hdvmNebO2fsbWr1z','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',22,'hold','hold:gen-0-00BjqgVRRFgCMAW6Orwoo',1795439537250,103315345966666,2125900000000,0,1064100000000,NULL,0,0,'gen-0-00BjqgVRRFgCMAW6Orwoo','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',23,'hold','hold:gen-1795439538-0jnHk7ruhuNYK5nmjo98P',1795439538500,103315345966666,3188600000000,0,1062700000000,NULL,0,0,'gen-1795439538-0jnHk7ruhuNYK5nmjo98P','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',24,'hold','hold:gen-0-0sTJPX6umgjbTQz5i3O0U',1795439539750,103315345966666,4252000000000,0,1063400000000,NULL,0,0,'gen-0-0sTJPX6umgjbTQz5i3O0U','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
INSERT INTO "entry" VALUES('user_5uTkJKB8zeJTktDGYKASh0',25,'extend','extend:gen-0-0sTJPX6umgjbTQz5i3O0U:1',1795439600000,103315345966666,4252000000000,0,0,NULL,0,0,'gen-0-0sTJPX6umgjbTQz5i3O0U','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2',NULL,NULL);
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
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0Sf9DTSDXp5yp08DxyTnB','captured',50210000000,'3eb8a361f271df31701abbd0c7488d6caaef9a5a2f1c0e6d37b06d8898fa3923','{"id":"gen-0-0Sf9DTSDXp5yp08DxyTnB","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-6","user":"end-user-1","title":"Example App"},"created_at_ms":1795439526000,"hold_pico":1064000000000,"prompt_tokens_max":640,"completion_tokens_max":100,"streamed":false,"state":"captured","ended_at_ms":1795439526250,"cost_pico":50210000000,"lines":[{"what":"input","quantity":2,"rate":"0.00010000","amount":"0.00020000"},{"what":"cache_read","quantity":1,"rate":"0.000010000","amount":"0.000010000"},{"what":"output","quantity":3,"rate":"0.010000","amount":"0.030000"},{"what":"reasoning","quantity":2,"rate":"0.010000","amount":"0.020000"}],"usage":{"input":2,"cache_read":1,"output":3,"reasoning":2},"reported":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":2}},"finish_reason":"stop","attempts":[{"provider":"acme","upstream_model":"large","started_at_ms":1795439526000,"first_byte_at_ms":1795439526250,"ended_at_ms":1795439526250,"status":200,"upstream_id":"chatcmpl-1"}],"idempotency":"3eb8a361f271df31701abbd0c7488d6caaef9a5a2f1c0e6d37b06d8898fa3923","request_digest":"3472bcda9e1f18f1c41e2e2429f5d1e3e520b87a11bebfc4c7ebfef70da76d49"}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0dENj2YfAwwxv32AZmlhQ','voided',0,'55d8b6e5a4686e34696ac99b3115b063687e19aa0a7eeaac82974283b8072e53','{"id":"gen-0-0dENj2YfAwwxv32AZmlhQ","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-7"},"created_at_ms":1795439527250,"hold_pico":1061900000000,"prompt_tokens_max":619,"completion_tokens_max":100,"streamed":false,"state":"voided","ended_at_ms":1795439527500,"error":"ProviderUnavailable","attempts":[{"provider":"acme","upstream_model":"large","started_at_ms":1795439527250,"ended_at_ms":1795439527500,"status":500,"error":"ProviderUnavailable"}],"idempotency":"55d8b6e5a4686e34696ac99b3115b063687e19aa0a7eeaac82974283b8072e53","request_digest":"60bba8f79b9786a38085430458f6238d1b521100f564585fddcae06892b137f3"}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1-0dENj2YfAwwxv32AZmlhQ','captured',50300000000,'55d8b6e5a4686e34696ac99b3115b063687e19aa0a7eeaac82974283b8072e53','{"id":"gen-1-0dENj2YfAwwxv32AZmlhQ","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-8"},"created_at_ms":1795439528500,"hold_pico":1061900000000,"prompt_tokens_max":619,"completion_tokens_max":100,"streamed":false,"state":"captured","ended_at_ms":1795439528750,"cost_pico":50300000000,"lines":[{"what":"input","quantity":3,"rate":"0.00010000","amount":"0.00030000"},{"what":"output","quantity":5,"rate":"0.010000","amount":"0.050000"}],"usage":{"input":3,"output":5},"reported":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8},"finish_reason":"stop","attempts":[{"provider":"acme","upstream_model":"large","started_at_ms":1795439528500,"first_byte_at_ms":1795439528750,"ended_at_ms":1795439528750,"status":200,"upstream_id":"chatcmpl-1"}],"idempotency":"55d8b6e5a4686e34696ac99b3115b063687e19aa0a7eeaac82974283b8072e53","request_digest":"60bba8f79b9786a38085430458f6238d1b521100f564585fddcae06892b137f3"}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439529-1pvw1Yb4HJ63Yzsk2x7s5','captured',50300000000,NULL,'{"id":"gen-1795439529-1pvw1Yb4HJ63Yzsk2x7s5","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-9"},"created_at_ms":1795439529750,"hold_pico":1063800000000,"prompt_tokens_max":638,"completion_tokens_max":100,"streamed":true,"state":"captured","ended_at_ms":1795439530000,"cost_pico":50300000000,"lines":[{"what":"input","quantity":3,"rate":"0.00010000","amount":"0.00030000"},{"what":"output","quantity":5,"rate":"0.010000","amount":"0.050000"}],"usage":{"input":3,"output":5},"reported":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8},"finish_reason":"stop","attempts":[{"provider":"acme","upstream_model":"large","started_at_ms":1795439529750,"first_byte_at_ms":1795439530000,"ended_at_ms":1795439530000,"status":200,"upstream_id":"chatcmpl-1"}]}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439531-0wIvLM86IWxGcEwYUy67b','captured',1049900000000,NULL,'{"id":"gen-1795439531-0wIvLM86IWxGcEwYUy67b","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-10"},"created_at_ms":1795439531000,"hold_pico":1063200000000,"prompt_tokens_max":632,"completion_tokens_max":100,"streamed":false,"state":"captured","ended_at_ms":1795439531250,"cost_pico":1049900000000,"lines":[{"what":"input","quantity":9999,"rate":"0.00010000","amount":"0.99990000"},{"what":"output","quantity":5,"rate":"0.010000","amount":"0.050000"}],"usage":{"input":9999,"output":5},"reported":{"prompt_tokens":9999,"completion_tokens":5,"total_tokens":10004},"finish_reason":"stop","attempts":[{"provider":"acme","upstream_model":"large","started_at_ms":1795439531000,"first_byte_at_ms":1795439531250,"ended_at_ms":1795439531250,"status":200,"upstream_id":"chatcmpl-1"}]}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439532-0OWpWvCUndJSqrvJqRM4b','captured',50210000000,NULL,'{"id":"gen-1795439532-0OWpWvCUndJSqrvJqRM4b","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-11"},"created_at_ms":1795439532250,"hold_pico":1062100000000,"prompt_tokens_max":621,"completion_tokens_max":100,"streamed":false,"state":"captured","ended_at_ms":1795439532500,"cost_pico":50210000000,"lines":[{"what":"input","quantity":2,"rate":"0.00010000","amount":"0.00020000"},{"what":"cache_read","quantity":1,"rate":"0.000010000","amount":"0.000010000"},{"what":"output","quantity":3,"rate":"0.010000","amount":"0.030000"},{"what":"reasoning","quantity":2,"rate":"0.010000","amount":"0.020000"}],"usage":{"input":2,"cache_read":1,"output":3,"reasoning":2},"reported":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":2}},"finish_reason":"stop","attempts":[{"provider":"acme","upstream_model":"large","started_at_ms":1795439532250,"first_byte_at_ms":1795439532500,"ended_at_ms":1795439532500,"status":200,"upstream_id":"chatcmpl-1"}]}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439533-0ED0YpdCAZmQx2Uz1BRQ1','captured',700000,NULL,'{"id":"gen-1795439533-0ED0YpdCAZmQx2Uz1BRQ1","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"embeddings","model":"acme/embed","endpoint_id":"acme:embed","provider":"acme","price_id":"price_237bdfa99c35d5fb","markup_bp":0,"origin":{"request_id":"request-12"},"created_at_ms":1795439533500,"hold_pico":59200000,"prompt_tokens_max":592,"completion_tokens_max":0,"streamed":false,"state":"captured","ended_at_ms":1795439533750,"cost_pico":700000,"lines":[{"what":"input","quantity":7,"rate":"1.0000E-7","amount":"7.0000E-7"}],"usage":{"input":7},"reported":{"prompt_tokens":7,"total_tokens":7},"attempts":[{"provider":"acme","upstream_model":"embed","started_at_ms":1795439533500,"first_byte_at_ms":1795439533750,"ended_at_ms":1795439533750,"status":200}]}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439534-0A7cAavpKNPtzYwRLenwt','captured',100400000000,NULL,'{"id":"gen-1795439534-0A7cAavpKNPtzYwRLenwt","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-13"},"created_at_ms":1795439534750,"hold_pico":159900000000,"prompt_tokens_max":599,"completion_tokens_max":10,"streamed":false,"state":"captured","ended_at_ms":1795439535000,"cost_pico":100400000000,"lines":[{"what":"input","quantity":4,"rate":"0.00010000","amount":"0.00040000"},{"what":"output","quantity":10,"rate":"0.010000","amount":"0.100000"}],"usage":{"input":4,"output":10},"reported":{"prompt_tokens":4,"completion_tokens":10,"total_tokens":14},"finish_reason":"length","attempts":[{"provider":"acme","upstream_model":"large","started_at_ms":1795439534750,"first_byte_at_ms":1795439535000,"ended_at_ms":1795439535000,"status":200}]}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-1Nc16hdvmNebO2fsbWr1z','open',0,'bb563d7d2f1955316340872ff8561fdf3268ba973edcde7e085147cd59e84337','{"id":"gen-0-1Nc16hdvmNebO2fsbWr1z","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-14"},"created_at_ms":1795439536000,"hold_pico":1061800000000,"prompt_tokens_max":618,"completion_tokens_max":100,"streamed":false,"idempotency":"bb563d7d2f1955316340872ff8561fdf3268ba973edcde7e085147cd59e84337","request_digest":"5e6467d815fc2be19c4d0adec8ed6a729bf28da41e2ccd1fe682b9ea97c463e6"}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-00BjqgVRRFgCMAW6Orwoo','open',0,'006a1131123ef52ae2e3dec6b78a4e84d546737f9be559d0817cdcc6357683fe','{"id":"gen-0-00BjqgVRRFgCMAW6Orwoo","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-15"},"created_at_ms":1795439537250,"hold_pico":1064100000000,"prompt_tokens_max":641,"completion_tokens_max":100,"streamed":true,"idempotency":"006a1131123ef52ae2e3dec6b78a4e84d546737f9be559d0817cdcc6357683fe","request_digest":"d72f216af6562900f8f44823ff92f9dc65e7fc09a7c8be80a1ea8d476e0f2b21"}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439538-0jnHk7ruhuNYK5nmjo98P','open',0,NULL,'{"id":"gen-1795439538-0jnHk7ruhuNYK5nmjo98P","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-16"},"created_at_ms":1795439538500,"hold_pico":1062700000000,"prompt_tokens_max":627,"completion_tokens_max":100,"streamed":false}');
INSERT INTO "generation" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0sTJPX6umgjbTQz5i3O0U','open',52700000000,'773236bfcda32a989c0e771db9c0c6bcec8909a751bf1ec5d286156659c2698b','{"id":"gen-0-0sTJPX6umgjbTQz5i3O0U","account_id":"user_5uTkJKB8zeJTktDGYKASh0","key_hash":"2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2","api":"chat/completions","model":"acme/large","endpoint_id":"acme:large","provider":"acme","price_id":"price_eb3100f9296982ab","markup_bp":0,"origin":{"request_id":"request-17"},"created_at_ms":1795439539750,"hold_pico":1063400000000,"prompt_tokens_max":634,"completion_tokens_max":100,"streamed":true,"cost_pico":52700000000,"lines":[{"what":"input","quantity":27,"rate":"0.00010000","amount":"0.00270000"},{"what":"output","quantity":5,"rate":"0.010000","amount":"0.050000"}],"usage":{"input":27,"output":5,"estimated":true},"idempotency":"773236bfcda32a989c0e771db9c0c6bcec8909a751bf1ec5d286156659c2698b","request_digest":"f0e95b2e31d0318ceead096d6ee8efe761eaa916aae67dc96c367b64ea5dd9f5"}');
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
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-00BjqgVRRFgCMAW6Orwoo','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','open',1064100000000,1795439537250,1795439657250,NULL,NULL);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0Sf9DTSDXp5yp08DxyTnB','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','captured',1064000000000,1795439526000,1795439646000,50210000000,1795439526250);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0dENj2YfAwwxv32AZmlhQ','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','voided',1061900000000,1795439527250,1795439647250,0,1795439527500);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-0sTJPX6umgjbTQz5i3O0U','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','open',1063400000000,1795439539750,1795439720000,NULL,NULL);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-0-1Nc16hdvmNebO2fsbWr1z','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','open',1061800000000,1795439536000,1795439656000,NULL,NULL);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1-0dENj2YfAwwxv32AZmlhQ','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','captured',1061900000000,1795439528500,1795439648500,50300000000,1795439528750);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439529-1pvw1Yb4HJ63Yzsk2x7s5','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','captured',1063800000000,1795439529750,1795439649750,50300000000,1795439530000);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439531-0wIvLM86IWxGcEwYUy67b','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','captured',1063200000000,1795439531000,1795439651000,1049900000000,1795439531250);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439532-0OWpWvCUndJSqrvJqRM4b','c17b9e75376ec70636694d9de3dd402cf86a6a395522069b6244f12892a18727','captured',1062100000000,1795439532250,1795439652250,50210000000,1795439532500);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439533-0ED0YpdCAZmQx2Uz1BRQ1','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','captured',59200000,1795439533500,1795439653500,700000,1795439533750);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439534-0A7cAavpKNPtzYwRLenwt','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','captured',159900000000,1795439534750,1795439654750,100400000000,1795439535000);
INSERT INTO "hold" VALUES('user_5uTkJKB8zeJTktDGYKASh0','gen-1795439538-0jnHk7ruhuNYK5nmjo98P','2e1e74214e59b490b488af0a37cd19e8c15330aca53436f753e19fab94bb2ec2','open',1062700000000,1795439538500,1795439658500,NULL,NULL);
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
