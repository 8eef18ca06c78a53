-- Desired state, who leads, and the audit. Times are UTC.

-- One row: the leader. A term never comes back.
create table mlnet.lease (
    id          int primary key default 1 check (id = 1),
    term        bigint not null,
    generation  bigint not null,
    instance    text not null,
    process     uuid not null,
    expires_at  timestamptz not null
);
insert into mlnet.lease (term, generation, instance, process, expires_at)
values (0, 0, '', '00000000-0000-0000-0000-000000000000', '-infinity');

create table mlnet.topology (
    id           bigint generated always as identity primary key,
    term         bigint not null,
    generation   bigint not null,
    body         json not null,
    file_sha256  text,
    created_at   timestamptz not null default now()
);
comment on column mlnet.topology.file_sha256 is 'Hash of the file that was loaded last, carried on when an operator puts a topology; a file with another hash replaces what is stored.';

create table mlnet.planning_settings (
    id          bigint generated always as identity primary key,
    term        bigint not null,
    generation  bigint not null,
    body        jsonb not null,
    created_at  timestamptz not null default now()
);

-- A number is never given twice: data-plane frames and flow records carry it.
create table mlnet.job (
    id               bigint generated always as identity primary key,
    name             text not null,
    spec             jsonb not null,
    state            text not null check (state in ('Pending', 'Finished', 'Cancelled')),
    submitted_at     timestamptz not null,
    ended_at         timestamptz,
    secret           bytea not null check (length(secret) = 32),
    figures          jsonb not null default '{}',
    idempotency_key  text unique,
    body_sha256      text
);
create unique index job_unfinished_name on mlnet.job (name) where state = 'Pending';
create index job_name on mlnet.job (name, id desc);
comment on column mlnet.job.secret is 'Keys the challenge between the agents of the job. Leaves the controller only towards agents.';

create table mlnet.plan (
    job_id      bigint not null references mlnet.job (id),
    term        bigint not null,
    generation  bigint not null,
    body        jsonb not null,
    created_at  timestamptz not null default now(),
    primary key (job_id, term, generation)
);

create table mlnet.agent (
    host        text primary key,
    data_port   int,
    boot        uuid,
    version     text,
    first_seen  timestamptz not null default now(),
    last_seen   timestamptz
);

create table mlnet.job_transport (
    job_id               bigint not null references mlnet.job (id),
    host                 text not null,
    boot                 uuid not null,
    bytes_sent           bigint not null,
    bytes_retransmitted  bigint not null,
    segments_sent        bigint not null,
    connections          int not null,
    updated_at           timestamptz not null default now(),
    primary key (job_id, host, boot)
);

create table mlnet.policy_event (
    id          bigint generated always as identity primary key,
    time        timestamptz not null default clock_timestamp(),
    term        bigint not null,
    generation  bigint not null,
    actor       text not null,
    action      text not null,
    subject     text not null,
    reason      text not null
);

create function mlnet.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit is only ever added to';
end $$;
create trigger policy_event_append_only before update or delete on mlnet.policy_event
    for each row execute function mlnet.refuse_change();
create trigger policy_event_no_truncate before truncate on mlnet.policy_event
    for each statement execute function mlnet.refuse_change();
