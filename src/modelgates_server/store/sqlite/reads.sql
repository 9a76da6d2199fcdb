-- The statements of the readers: short, indexed, never inside a transaction that stays open.

-- name: caller
select k.hash, k.account_id, k.kind, k.disabled, k.deleted_at_ms, k.expires_at_ms, a.closed_at_ms,
       a.credits_pico, a.usage_pico, a.held_pico
  from api_key k join account a on a.id = k.account_id
 where k.hash = ?;

-- name: account
select * from account where id = ?;

-- name: accounts
select * from account where id > ? order by id limit ?;

-- name: key
select * from api_key where hash = ? and deleted_at_ms is null;

-- name: keys
select * from api_key
 where account_id = ? and deleted_at_ms is null and (? or not disabled)
   and kind in (select value from json_each(?))
 order by created_at_ms desc, hash limit ? offset ?;

-- name: entries
select * from entry where account_id = ? and seq > ? order by seq limit ?;

-- name: expired_holds
select * from hold where state = 'open' and expires_at_ms <= ? order by expires_at_ms limit ?;

-- name: all_entries
select * from entry where account_id = ? order by seq;

-- name: hold_entries
select * from entry where account_id = ? and hold_id is not null order by hold_id, seq;

-- name: holds
select distinct h.* from entry e join hold h on h.id = e.hold_id and h.account_id = e.account_id
 where e.account_id = ? and e.kind = 'hold' order by h.id;

-- name: all_keys
select * from api_key where account_id = ? order by hash;

-- name: strays
select account_id, 'entries without an account' from entry
 where account_id not in (select id from account)
union select account_id, 'holds without an account' from hold
 where account_id not in (select id from account)
union select account_id, 'keys without an account' from api_key
 where account_id not in (select id from account)
union select account_id, 'holds without an entry'
  from (select account_id, id from hold
        except select account_id, hold_id from entry where kind = 'hold')
 order by 1, 2;

-- name: counts
select (select count(*) from account), (select count(*) from api_key where deleted_at_ms is null),
       (select count(*) from entry), (select count(*) from hold where state = 'open');
