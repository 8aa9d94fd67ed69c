-- What the observer writes to: one row a region, replaced at each probe.
create schema if not exists dr_observer authorization dr_observer;
create table if not exists dr_observer.probe (
    region text primary key,
    number bigint not null,
    at timestamptz not null default clock_timestamp()
);
alter table dr_observer.probe owner to dr_observer;
