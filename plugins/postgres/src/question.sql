-- What a server says of itself: one row, whose columns are named as what is measured.
-- A standby that has replayed all that it received is not behind, however old that is, while somebody sends it more.
select case when standby then 'standby' when read_only then 'read-only primary' else 'primary' end
    || ', PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) as server,
  read_only::int as read_only, standby::int as in_recovery,
  connections, max_connections, connections::float / max_connections as connections_used,
  replicas, replica_lag,
  case when not standby then null
    when exists (select from pg_stat_wal_receiver) and pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() then 0
    else greatest(0, extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()))
  end as replication_lag
from (select pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only,
    current_setting('max_connections')::int as max_connections) as own,
  (select count(*) as connections from pg_stat_activity
    where datid is not null and coalesce(backend_type, 'client backend') = 'client backend') as activity,
  (select count(*) as replicas,
    max(extract(epoch from coalesce(replay_lag, '0'))) filter (where state is not null) as replica_lag
    from pg_stat_replication) as replication
