-- The secrets of keys that were rotated. A key without rows has one secret, whose SHA-256 is its hash.
-- The hash remains the name of a key, so its limits, usage and journal stay with it.
create table key_secret (
  hash          text primary key check (length(hash) = 64),
  key_hash      text not null references api_key (hash),
  created_at_ms integer not null,
  ends_at_ms    integer
) strict, without rowid;

create index key_secret_of_key on key_secret (key_hash, created_at_ms);
create unique index key_secret_current on key_secret (key_hash) where ends_at_ms is null;
