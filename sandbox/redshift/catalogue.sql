-- What Redshift has and PostgreSQL lacks, made in pg_catalog by the superuser at every start.
-- Statements are separated by a semicolon and an empty line.

create or replace function pg_catalog.sandbox_refuse(message text, state text) returns void language plpgsql as $$
begin
    raise exception using message = message, errcode = state;
end $$;

create or replace function pg_catalog.sandbox_too_long() returns boolean language plpgsql as $$
begin
    raise exception 'Value too long for character type' using errcode = '22001';
end $$;

-- avg() as on Redshift, which leaves integers integers. It hides no function of pg_catalog: the gateway adds the schema.

create schema if not exists pg_redshift;

grant usage on schema pg_redshift to public;

create or replace function pg_redshift.avg_add(state numeric[], value bigint) returns numeric[]
language sql immutable strict return array[state[1] + 1, state[2] + value];

create or replace function pg_redshift.avg_end(state numeric[]) returns bigint
language sql immutable strict return trunc(state[2] / nullif(state[1], 0))::bigint;

create or replace function pg_redshift.avg_add(state numeric[], value integer) returns numeric[]
language sql immutable strict return array[state[1] + 1, state[2] + value];

create or replace function pg_redshift.avg_add(state numeric[], value smallint) returns numeric[]
language sql immutable strict return array[state[1] + 1, state[2] + value];

create or replace aggregate pg_redshift.avg(bigint) (
    sfunc = pg_redshift.avg_add, stype = numeric[], initcond = '{0,0}', finalfunc = pg_redshift.avg_end
);

create or replace aggregate pg_redshift.avg(integer) (
    sfunc = pg_redshift.avg_add, stype = numeric[], initcond = '{0,0}', finalfunc = pg_redshift.avg_end
);

create or replace aggregate pg_redshift.avg(smallint) (
    sfunc = pg_redshift.avg_add, stype = numeric[], initcond = '{0,0}', finalfunc = pg_redshift.avg_end
);

create or replace aggregate pg_redshift.avg(numeric) (
    sfunc = numeric_avg_accum, stype = internal, finalfunc = numeric_avg
);

create or replace aggregate pg_redshift.avg(double precision) (
    sfunc = float8_accum, stype = double precision[], initcond = '{0,0,0}', finalfunc = float8_avg
);

-- EXTRACT, which is a whole number but for a timestamp with a time zone.

create or replace function pg_redshift.date_part(part text, moment timestamp) returns integer
language sql immutable strict return trunc(pg_catalog.date_part(part, moment));

create or replace function pg_redshift.date_part(part text, day date) returns integer
language sql immutable strict return trunc(pg_catalog.date_part(part, day));

create or replace function pg_redshift.date_part(part text, moment timestamptz) returns double precision
language sql stable strict return pg_catalog.date_part(part, moment);

-- Functions. Dateparts stand bare in Redshift; the gateway quotes them.

create or replace function pg_catalog.sandbox_datepart(part text) returns text language plpgsql immutable strict as $$
begin
    return case
        when lower(part) in ('y', 'yr', 'yrs', 'year', 'years') then 'year'
        when lower(part) in ('qtr', 'qtrs', 'quarter', 'quarters') then 'quarter'
        when lower(part) in ('mon', 'mons', 'month', 'months') then 'month'
        when lower(part) in ('w', 'week', 'weeks') then 'week'
        when lower(part) in ('d', 'day', 'days') then 'day'
        when lower(part) in ('h', 'hr', 'hrs', 'hour', 'hours') then 'hour'
        when lower(part) in ('m', 'min', 'mins', 'minute', 'minutes') then 'minute'
        when lower(part) in ('s', 'sec', 'secs', 'second', 'seconds') then 'second'
    end;
end $$;

create or replace function pg_catalog.dateadd(part text, amount bigint, moment timestamp) returns timestamp
language plpgsql immutable strict as $$
declare
    unit text := pg_catalog.sandbox_datepart(part);
begin
    if unit is null then
        raise exception 'dateadd: the sandbox does not know the datepart %', part using errcode = '0A000';
    elsif unit = 'quarter' then
        return moment + (amount * 3 || ' month')::interval;
    end if;
    return moment + (amount || ' ' || unit)::interval;
end $$;

-- Counts the boundaries between two moments, not the time that passes.
create or replace function pg_catalog.datediff(part text, earlier timestamp, later timestamp) returns bigint
language plpgsql immutable strict as $$
declare
    unit text := pg_catalog.sandbox_datepart(part);
    months bigint := (extract(year from later) - extract(year from earlier)) * 12
        + extract(month from later) - extract(month from earlier);
    seconds constant jsonb := '{"day": 86400, "hour": 3600, "minute": 60, "second": 1}';
begin
    if unit = 'year' then
        return extract(year from later) - extract(year from earlier);
    elsif unit = 'quarter' then
        return (extract(year from later) - extract(year from earlier)) * 4
            + extract(quarter from later) - extract(quarter from earlier);
    elsif unit = 'month' then
        return months;
    elsif seconds ? unit then
        return extract(epoch from date_trunc(unit, later) - date_trunc(unit, earlier)) / (seconds ->> unit)::int;
    end if;
    raise exception 'datediff: the sandbox does not know the datepart %', part using errcode = '0A000';
end $$;

-- Start of the statement, whole seconds, UTC.
create or replace function pg_catalog.getdate() returns timestamp language sql stable
return date_trunc('second', statement_timestamp() at time zone 'UTC');

-- Start of the transaction, UTC.
create or replace function pg_catalog.sysdate() returns timestamp language sql stable
return transaction_timestamp() at time zone 'UTC';

create or replace function pg_catalog.convert_timezone(target text, moment timestamp) returns timestamp
language sql immutable strict return (moment at time zone 'UTC') at time zone target;

create or replace function pg_catalog.convert_timezone(source text, target text, moment timestamp) returns timestamp
language sql immutable strict return (moment at time zone source) at time zone target;

create or replace function pg_catalog.last_day(moment timestamp) returns date
language sql immutable strict return (date_trunc('month', moment) + interval '1 month - 1 day')::date;

create or replace function pg_catalog.trunc(moment timestamp) returns date language sql immutable strict return moment::date;

create or replace function pg_catalog.date_trunc(part text, day date) returns timestamp
language sql immutable strict return date_trunc(part, day::timestamp);

create or replace function pg_catalog.round(value double precision, digits integer) returns double precision
language sql immutable strict return round(value::numeric, digits)::double precision;

-- Null when one of the two is; PostgreSQL's own takes a null for an empty text.
create or replace function pg_catalog.concat(first text, second text) returns text
language sql immutable strict return first || second;

create or replace function pg_catalog.len(value text) returns integer language sql immutable strict return length(value);

create or replace function pg_catalog.pg_last_copy_count() returns bigint language sql stable
return coalesce(nullif(current_setting('redshift.last_copy_count', true), '')::bigint, 0);

-- Catalogue views and functions that dbt-redshift reads. There are no late-binding views and no external tables here.

create or replace function pg_catalog.pg_get_late_binding_view_cols() returns setof record language sql stable as $$
    select null::name, null::name, null::name, null::varchar, null::int where false
$$;

drop view if exists pg_catalog.svv_external_columns;

create view pg_catalog.svv_external_columns as
select
    ''::varchar as schemaname, ''::varchar as tablename, ''::varchar as columnname, ''::varchar as external_type, 0 as columnnum
where false;

drop view if exists pg_catalog.svv_table_info;

-- Sizes and names are real; what PostgreSQL cannot know is null, or Redshift's default.
create view pg_catalog.svv_table_info as
select
    current_database()::text as "database",
    namespace.nspname::text as "schema",
    relation.oid as table_id,
    relation.relname::text as "table",
    'N'::text as encoded,
    'AUTO(ALL)'::text as diststyle,
    null::text as sortkey1,
    (
        select max(atttypmod - 4) from pg_catalog.pg_attribute
        where attrelid = relation.oid and atttypid = 'varchar'::regtype and atttypmod > 4
    )::integer as max_varchar,
    null::text as sortkey1_enc,
    0 as sortkey_num,
    ceil(pg_relation_size(relation.oid) / 1048576.0)::bigint as size,
    null::numeric(10, 4) as pct_used,
    null::numeric(5, 2) as unsorted,
    null::numeric(5, 2) as stats_off,
    greatest(relation.reltuples, 0)::numeric(38, 0) as tbl_rows,
    null::numeric(19, 2) as skew_sortkey1,
    null::numeric(19, 2) as skew_rows
from pg_catalog.pg_class as relation
inner join pg_catalog.pg_namespace as namespace on relation.relnamespace = namespace.oid
where relation.relkind = 'r' and namespace.nspname not like 'pg\_%' and namespace.nspname <> 'information_schema';

drop view if exists pg_catalog.svv_relation_privileges;

-- A role that may log in is a user of Redshift; every other one is taken for a role, groups too.
create view pg_catalog.svv_relation_privileges as
select
    namespace.nspname::text as namespace_name,
    relation.relname::text as relation_name,
    granted.privilege_type::text as privilege_type,
    granted.grantee::integer as identity_id,
    coalesce(identity.rolname, 'public')::text as identity_name,
    case when identity.oid is null then 'public' when identity.rolcanlogin then 'user' else 'role' end as identity_type,
    granted.is_grantable as admin_option
from pg_catalog.pg_class as relation
inner join pg_catalog.pg_namespace as namespace on relation.relnamespace = namespace.oid
cross join lateral aclexplode(relation.relacl) as granted
left join pg_catalog.pg_roles as identity on granted.grantee = identity.oid
where relation.relkind in ('r', 'v');

drop view if exists pg_catalog.svv_schema_privileges;

create view pg_catalog.svv_schema_privileges as
select
    namespace.nspname::text as namespace_name,
    granted.privilege_type::text as privilege_type,
    granted.grantee::integer as identity_id,
    coalesce(identity.rolname, 'public')::text as identity_name,
    case when identity.oid is null then 'public' when identity.rolcanlogin then 'user' else 'role' end as identity_type,
    granted.is_grantable as admin_option
from pg_catalog.pg_namespace as namespace
cross join lateral aclexplode(namespace.nspacl) as granted
left join pg_catalog.pg_roles as identity on granted.grantee = identity.oid;

grant select on
    pg_catalog.svv_external_columns,
    pg_catalog.svv_table_info,
    pg_catalog.svv_relation_privileges,
    pg_catalog.svv_schema_privileges
to public;
