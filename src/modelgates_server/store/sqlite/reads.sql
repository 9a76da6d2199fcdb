-- The statements of the readers: short, indexed, never inside a transaction that stays open.
-- Braces insert the fields of a struct, see `store/sql.py`.

-- name: authenticated_key
select k.hash as key_hash, k.account_id, k.kind, k.disabled, k.deleted_at_ms, k.expires_at_ms,
       a.closed_at_ms, a.credits_pico, a.usage_pico, a.held_pico, a.min_balance_pico,
       s.ends_at_ms as secret_ends_at_ms
  from api_key k join account a on a.id = k.account_id left join key_secret s on s.hash = k.hash
 where k.hash = ?;

-- name: authenticated_key_rotated
select k.hash as key_hash, k.account_id, k.kind, k.disabled, k.deleted_at_ms, k.expires_at_ms,
       a.closed_at_ms, a.credits_pico, a.usage_pico, a.held_pico, a.min_balance_pico,
       s.ends_at_ms as secret_ends_at_ms
  from key_secret s join api_key k on k.hash = s.key_hash join account a on a.id = k.account_id
 where s.hash = ?;

-- name: key_secrets
select {key_secret} from key_secret where key_hash = ? order by created_at_ms, hash;

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

-- name: keys_dated_after
select {key} from api_key where usage_day > ? and deleted_at_ms is null
 order by usage_day desc limit 1000;

-- name: charges_by_day
select at_ms / 86400000 as day, -sum(amount_pico) from entry
 where account_id = ? and key_hash = ? and kind in ('usage', 'expire', 'late_usage')
   and amount_pico <> 0
 group by 1;

-- name: entries
select {entry} from entry where account_id = ? and seq > ? order by seq limit ?;

-- name: newest_entry_ms
select at_ms from entry where rowid = (select max(rowid) from entry);

-- name: expired_holds
select {hold} from hold where state = 'open' and expires_at_ms <= ? order by expires_at_ms limit ?;

-- name: open_holds
select {hold:h}, g.record, g.packed
  from hold h left join generation g on g.id = h.id and g.account_id = h.account_id
 where h.account_id = ? and h.state = 'open' order by h.created_at_ms limit ?;

-- name: all_open_holds
-- Summed in two parts, because all accounts together may hold more than an int64.
select count(*) as count, coalesce(sum(amount_pico / 1000000), 0) as amount_millions,
       coalesce(sum(amount_pico % 1000000), 0) as amount_rest, min(created_at_ms) as oldest_at_ms
  from hold indexed by hold_open_of_account where state = 'open';

-- name: generation
select g.id, g.record, g.packed, a.name
  from generation g left join archive a on a.id = g.archive_id
 where g.account_id = ? and g.id = ?;

-- name: generation_by_id
select g.id, g.record, g.packed, a.name
  from generation g left join archive a on a.id = g.archive_id
 where g.id = ? order by g.account_id limit 1;

-- name: latest_by_idempotency_key
select g.account_id, g.id, g.state, g.cost_pico, g.idempotency, g.record, g.packed, a.name
  from generation g left join archive a on a.id = g.archive_id
 where g.account_id = ? and g.idempotency = ? order by g.rowid desc limit 1;

-- name: answer
select {answer} from answer where account_id = ? and generation_id = ?;

-- name: late_usage
select {entry} from entry where account_id = ? and hold_id = ? and kind = 'late_usage';

-- name: newest_activity
select max(quarter_hour) from activity where account_id = ? and quarter_hour < ?;

-- name: activity_of_day
-- Many rows as one text, because a thread pays for each row that it steps to: it gives up the
-- interpreter lock, and a busy event loop keeps that for milliseconds.
with summed as (
  select key_hash, endpoint_id, model, min(provider) as provider, sum(requests) as requests,
         sum(usage_pico) as usage_pico, sum(prompt_tokens) as prompt_tokens,
         sum(completion_tokens) as completion_tokens, sum(reasoning_tokens) as reasoning_tokens,
         sum(cached_tokens) as cached_tokens,
         row_number() over (order by key_hash desc, endpoint_id desc, model desc) - 1 as number
    from activity
   where account_id = :account_id and quarter_hour >= :from_quarter_hour
     and quarter_hour < :to_quarter_hour and (:key_hash is null or key_hash = :key_hash)
     and (key_hash, endpoint_id, model) < (:after_key_hash, :after_endpoint_id, :after_model)
   group by key_hash, endpoint_id, model
   order by key_hash desc, endpoint_id desc, model desc limit :limit)
select json_group_array(json_object(
         'day', :day, 'key_hash', key_hash, 'endpoint_id', endpoint_id, 'model', model,
         'provider', provider, 'requests', requests, 'usage_pico', usage_pico,
         'prompt_tokens', prompt_tokens, 'completion_tokens', completion_tokens,
         'reasoning_tokens', reasoning_tokens, 'cached_tokens', cached_tokens))
  from summed group by number / 500 order by number / 500;

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
select account_id, id, state, cost_pico, idempotency, record, packed
  from generation where account_id = ? and id = ? and archive_id is null;

-- name: archived_row
select g.account_id, g.id, g.state, g.cost_pico, g.idempotency, a.name
  from generation g join archive a on a.id = g.archive_id where g.account_id = ? and g.id = ?;

-- name: archives
select {archive} from archive order by id;

-- name: record_dictionaries
select version, bytes from record_dictionary;

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
union select account_id, 'generations without their archive' from generation
 where archive_id is not null and archive_id not in (select id from archive)
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
