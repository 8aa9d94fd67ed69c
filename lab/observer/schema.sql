-- What the observer writes to: one row a region, replaced at each probe.
create schema if not exists dr_observer authorization dr_observer;
create table if not exists dr_observer.probe (
    region text primary key,
    number bigint not null,
    at timestamptz not null default clock_timestamp()
);
alter table dr_observer.probe owner to dr_observer;
-- Each accepted probe also tells the lease's epoch as this database knows it (schema dr is the guard's).
grant usage on schema dr to dr_observer;
grant select on dr.heartbeat to dr_observer;
-- A standby refuses every probe: that is no news to its log.
alter role dr_observer set log_min_messages = 'fatal';
