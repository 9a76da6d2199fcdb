-- The statements that move records to archives. Braces insert the fields of a struct, see
-- `store/sql.py`.

-- name: database
-- The first account identifies a database and its copies: the first entry always stays the first.
select account_id from entry order by rowid limit 1;

-- name: create_old
create temp table old (
  account_id text, id text, ended_at_ms integer, primary key (account_id, id)
) without rowid;

-- name: ended_holds
-- A page of all holds in the order of their ids, and whether each ended before an instant. Usage may
-- still arrive for a hold that expired, so the record of its call is never archived.
select account_id, id, ended_at_ms,
       state in ('captured', 'voided') and ended_at_ms < :before_ms
  from hold where (id, account_id) > (:id, :account_id) order by id, account_id limit :limit;

-- name: add_old
insert into old
select g.account_id, g.id, :ended_at_ms from generation g
 where g.id = :id and g.account_id = :account_id and g.archive_id is null
   and not exists
     (select 1 from answer a where a.account_id = g.account_id and a.generation_id = g.id);

-- name: old_records
select o.account_id, o.id, g.state, g.cost_pico, g.record, g.packed, o.ended_at_ms
  from old o join generation g on g.id = o.id and g.account_id = o.account_id
 where (o.account_id, o.id) > (?, ?) order by o.account_id, o.id limit ?;

-- name: add_archive
insert into archive ({archive}) values ({archive:values});

-- name: next_archive
select coalesce(max(id), 0) + 1 from archive;

-- name: stored
select state, cost_pico, record, packed, archive_id from generation
 where account_id = ? and id = ?;

-- name: empty_record
update generation set record = '', packed = null, archive_id = ?
 where account_id = ? and id = ?;

-- name: finish_archive
update archive set emptied_at_ms = ? where id = ?;
