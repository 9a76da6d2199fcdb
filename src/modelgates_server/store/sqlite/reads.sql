-- The statements of the readers: short, indexed, never inside a transaction that stays open.
-- Braces insert the fields of a struct, see `store/sql.py`.

-- name: authenticated_key
select k.hash as key_hash, k.account_id, k.kind, k.disabled, k.deleted_at_ms, k.expires_at_ms,
       a.closed_at_ms, a.credits_pico, a.usage_pico, a.held_pico
  from api_key k join account a on a.id = k.account_id
 where k.hash = ?;

-- name: account
select {account} from account where id = ?;

-- name: account_and_key
select {account:a}, {key:k} from api_key k join account a on a.id = k.account_id
 where k.hash = ? and k.deleted_at_ms is null;

-- name: accounts
select {account} from account where id > ? order by id limit ?;

-- name: key
select {key} from api_key where hash = ? and deleted_at_ms is null;

-- name: keys
select {key} from api_key
 where account_id = ? and deleted_at_ms is null and (? or not disabled)
   and (expires_at_ms is null or expires_at_ms > ?)
   and kind in (select value from json_each(?))
 order by created_at_ms desc, hash limit ? offset ?;

-- name: entries
select {entry} from entry where account_id = ? and seq > ? order by seq limit ?;

-- name: expired_holds
select {hold} from hold where state = 'open' and expires_at_ms <= ? order by expires_at_ms limit ?;

-- name: open_holds
select {hold:h}, g.record
  from hold h left join generation g on g.id = h.id and g.account_id = h.account_id
 where h.account_id = ? and h.state = 'open' order by h.created_at_ms limit ?;

-- name: all_open_holds
-- Summed in two parts, because all accounts together may hold more than an int64.
select count(*) as count, coalesce(sum(amount_pico / 1000000), 0) as amount_millions,
       coalesce(sum(amount_pico % 1000000), 0) as amount_rest, min(created_at_ms) as oldest_at_ms
  from hold indexed by hold_open_of_account where state = 'open';

-- name: generation
select id, record from generation where account_id = ? and id = ?;

-- name: generation_by_id
select id, record from generation where id = ? order by account_id limit 1;

-- name: latest_by_idempotency_key
select id, record from generation where account_id = ? and idempotency = ?
 order by rowid desc limit 1;

-- name: answer
select {answer} from answer where account_id = ? and generation_id = ?;

-- name: activity
select {activity} from activity
 where account_id = ? and day between ? and ?
 order by day desc, key_hash desc, endpoint_id desc, model desc;

-- name: prices
select {price} from price order by id;

-- name: price
select {price} from price where id = ?;

-- name: all_entries
select {entry} from entry where account_id = ? order by seq;

-- name: hold_entries
select {entry} from entry where account_id = ? and hold_id is not null order by hold_id, seq;

-- name: holds
select distinct {hold:h} from entry e join hold h on h.id = e.hold_id and h.account_id = e.account_id
 where e.account_id = ? and e.kind = 'hold' order by h.id;

-- name: hold_ids
select distinct hold_id from entry where account_id = ? and kind = 'hold' order by hold_id;

-- name: generation_row
select {generation} from generation where account_id = ? and id = ?;

-- name: all_activity
select {activity} from activity where account_id = ?;

-- name: all_keys
select {key} from api_key where account_id = ? order by hash;

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
union select account_id, 'generations without a hold'
  from (select account_id, id from generation except select account_id, id from hold)
union select account_id, 'answers without a generation'
  from (select account_id, generation_id from answer except select account_id, id from generation)
union select account_id, 'activity without an account' from activity
 where account_id not in (select id from account)
 order by 1, 2;

-- name: newest_entries
-- With the figures of their accounts. Entries are numbered without a gap: none is ever deleted.
select e.rowid, e.account_id, e.seq, e.amount_pico, e.held_pico, e.balance_after_pico,
       e.held_after_pico, a.last_seq, a.credits_pico - a.usage_pico, a.held_pico
  from entry e left join account a on a.id = e.account_id
 where e.rowid > (select max(rowid) from entry) - ? order by e.rowid desc;

-- name: newest_entry
select coalesce(max(rowid), 0) from entry;

-- name: entry_number
select 1 from entry where rowid = ?;

-- name: counts
select (select count(*) from account), (select count(*) from api_key where deleted_at_ms is null),
       (select count(*) from entry), (select count(*) from hold where state = 'open');
