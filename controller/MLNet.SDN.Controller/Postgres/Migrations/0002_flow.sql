-- Flow records by UTC day, and views with names that a person can query.

create sequence mlnet.flow_id;

create table mlnet.flow (
    id                   bigint not null default nextval('mlnet.flow_id'),
    time                 timestamptz not null,
    end_time             timestamptz not null,
    host                 text not null,
    direction            smallint not null,
    source_host          text,
    destination_host     text,
    source_address       inet not null,
    destination_address  inet not null,
    source_port          int not null,
    destination_port     int not null,
    protocol             smallint not null,
    dscp                 smallint not null,
    dscp_policy          smallint not null,
    octets               bigint not null,
    packets              bigint not null,
    end_reason           smallint not null,
    job_id               bigint,
    role                 text
) partition by range (time);
create index flow_time on mlnet.flow using brin (time);
create index flow_job on mlnet.flow (job_id, time);

-- Reports taken over, as ranges of their numbers: a repeated report is known in one row per boot of an agent.
create table mlnet.flow_report (
    host     text not null,
    boot     uuid not null,
    seen     int8multirange not null,
    seen_at  timestamptz not null default now(),
    primary key (host, boot)
);

-- Makes the partition of a day. Attaching it, other than creating it in place, does not wait for those who read.
create function mlnet.make_flow_partition(day date) returns void language plpgsql as $$
declare
    partition text := 'flow_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass('mlnet.' || partition) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('mlnet.flow'));
    if to_regclass('mlnet.' || partition) is not null then
        return;
    end if;
    execute format('create table mlnet.%I (like mlnet.flow including defaults)', partition);
    execute format('alter table mlnet.flow attach partition mlnet.%I for values from (%L) to (%L)',
        partition, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
end $$;

-- Drops the partitions of all days before the given one; answers how many.
create function mlnet.drop_flow_partitions(before_day date) returns int language plpgsql as $$
declare
    partition text;
    dropped int := 0;
begin
    for partition in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'mlnet.flow'::regclass and c.relname < 'flow_' || to_char(before_day, 'YYYYMMDD')
    loop
        execute format('drop table mlnet.%I', partition);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;

-- RFC 2474 (CS), RFC 2597 (AF), RFC 3246 (EF), RFC 8622 (LE); a number where there is no name.
create function mlnet.dscp_name(code smallint) returns text language sql immutable parallel safe as $$
    select case code
        when 0 then 'CS0' when 1 then 'LE' when 8 then 'CS1' when 10 then 'AF11' when 12 then 'AF12' when 14 then 'AF13'
        when 16 then 'CS2' when 18 then 'AF21' when 20 then 'AF22' when 22 then 'AF23' when 24 then 'CS3' when 26 then 'AF31'
        when 28 then 'AF32' when 30 then 'AF33' when 32 then 'CS4' when 34 then 'AF41' when 36 then 'AF42' when 38 then 'AF43'
        when 40 then 'CS5' when 46 then 'EF' when 48 then 'CS6' when 56 then 'CS7' else code::text end
$$;

create view mlnet.v_flow as
select f.time,
       f.end_time,
       j.name as job,
       f.job_id,
       f.role,
       f.source_host,
       f.destination_host,
       f.source_address,
       f.source_port,
       f.destination_address,
       f.destination_port,
       case f.protocol when 6 then 'tcp' when 17 then 'udp' when 1 then 'icmp' when 58 then 'icmp6' else f.protocol::text end as protocol,
       case f.direction when 1 then 'egress' else 'ingress' end as direction,
       mlnet.dscp_name(f.dscp) as dscp,
       case f.direction when 1 then mlnet.dscp_name(f.dscp) end as dscp_sent,
       case f.direction when 0 then mlnet.dscp_name(f.dscp) end as dscp_arrived,
       mlnet.dscp_name(f.dscp_policy) as dscp_policy,
       f.octets,
       f.packets,
       f.host as observing_host,
       f.id
from mlnet.flow f
left join mlnet.job j on j.id = f.job_id;
comment on view mlnet.v_flow is 'One row per flow, code point, interval and observing host. Both ends report a flow: ask for direction = ''egress'' to count bytes once.';

-- 52 octets of headers per segment: IPv4 20, TCP 20, timestamps 12.
create view mlnet.v_job_traffic as
select j.id as job_id,
       j.name as job,
       coalesce(f.octets, 0) as octets,
       coalesce(t.bytes, 0) as socket_bytes,
       coalesce(t.segments, 0) as socket_segments,
       coalesce(t.bytes + 52 * t.segments, 0) as socket_octets,
       round(f.octets / nullif(t.bytes + 52 * t.segments, 0), 4) as ratio
from mlnet.job j
left join lateral (
    select sum(octets) as octets from mlnet.flow
    where job_id = j.id and direction = 1 and role in ('push', 'signal')) f on true
left join lateral (
    select sum(bytes_sent) as bytes, sum(segments_sent) as segments from mlnet.job_transport where job_id = j.id) t on true;
comment on view mlnet.v_job_traffic is 'Per job: octets that senders'' captures counted on its own connections, beside what the sockets say they sent (TCP_INFO, retransmissions included) plus headers.';

create view mlnet.v_job_traffic_by_host as
select j.id as job_id,
       j.name as job,
       h.host,
       sum(h.octets) as octets,
       sum(h.bytes) as socket_bytes,
       sum(h.segments) as socket_segments,
       sum(h.bytes + 52 * h.segments) as socket_octets,
       round(sum(h.octets) / nullif(sum(h.bytes + 52 * h.segments), 0), 4) as ratio
from mlnet.job j
cross join lateral (
    select host, octets, 0 as bytes, 0 as segments from mlnet.flow
    where job_id = j.id and direction = 1 and role in ('push', 'signal')
    union all
    select host, 0, bytes_sent, segments_sent from mlnet.job_transport where job_id = j.id) h
group by j.id, j.name, h.host;
comment on view mlnet.v_job_traffic_by_host is 'As v_job_traffic, for each host of the job.';
