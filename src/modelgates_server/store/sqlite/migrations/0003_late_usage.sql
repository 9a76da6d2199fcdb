-- Usage that became known after its hold had expired, once for each hold (docs/decisions/0031). A
-- trigger that checks the hold would make every insert into `entry` a third slower; the rules and
-- `modelgates ledger verify` check it.
create unique index entry_late_usage_once on entry (hold_id, account_id) where kind = 'late_usage';
