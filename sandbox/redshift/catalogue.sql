-- Objects of Redshift that PostgreSQL lacks. The superuser creates them in pg_catalog at every start.
-- Statements are separated by a semicolon and an empty line.

create or replace function pg_catalog.sandbox_refuse(message text, state text) returns void language plpgsql as $$
begin
    raise exception using message = message, errcode = state;
end $$;

create or replace function pg_catalog.sandbox_too_long() returns boolean language plpgsql as $$
begin
    raise exception 'Value too long for character type' using errcode = '22001';
end $$;

-- Functions that PostgreSQL has with another meaning. They hide none of pg_catalog, since the gateway adds the schema.
-- The average of integers is an integer.

create schema if not exists pg_redshift;

grant usage on schema pg_redshift to public;

create or replace function pg_redshift.avg_end(state numeric[]) returns bigint
language sql immutable strict return trunc(state[2] / nullif(state[1], 0))::bigint;

create or replace aggregate pg_redshift.avg(numeric) (
    sfunc = numeric_avg_accum, stype = internal, finalfunc = numeric_avg
);

create or replace aggregate pg_redshift.avg(double precision) (
    sfunc = float8_accum, stype = double precision[], initcond = '{0,0,0}', finalfunc = float8_avg
);

-- The median of an array of array_agg(): a decimal for whole numbers. It is not defined for dates, since the type of
-- their median is not known.

create or replace function pg_redshift.median("values" numeric[]) returns numeric language sql immutable return (
    select avg(value)
    from (
        select value, row_number() over (order by value) as place, count(*) over () as many
        from unnest("values") as value where value is not null
    ) as sorted
    where place in ((many + 1) / 2, (many + 2) / 2)
);

create or replace function pg_redshift.median("values" double precision[]) returns double precision
language sql immutable return (select percentile_cont(0.5) within group (order by one) from unnest("values") as one);

do $do$
declare
    kind text;
begin
    foreach kind in array '{smallint, integer, bigint}'::text[] loop
        execute format($sql$
            create or replace function pg_redshift.avg_add(state numeric[], value %1$s) returns numeric[]
            language sql immutable strict return array[state[1] + 1, state[2] + value];
            create or replace aggregate pg_redshift.avg(%1$s) (
                sfunc = pg_redshift.avg_add, stype = numeric[], initcond = '{0,0}', finalfunc = pg_redshift.avg_end
            );
            create or replace function pg_redshift.median("values" %1$s[]) returns numeric
            language sql immutable return pg_redshift.median("values"::numeric[])
        $sql$, kind);
    end loop;
end $do$;

create or replace function pg_redshift.ratio_to_report(value double precision, total double precision)
returns double precision language sql immutable strict return value / total;

create or replace function pg_redshift.listagg_add(state text, value anyelement, delimiter text) returns text
language plpgsql immutable as $$
declare
    longer text := coalesce(state || coalesce(delimiter, ''), '') || nullif(value::text, '');
begin
    if octet_length(longer) > 65535 then
        raise exception 'Result size exceeds LISTAGG limit' using errcode = '22001';
    end if;
    return coalesce(longer, state);
end $$;

create or replace aggregate pg_redshift.listagg(anyelement, text) (sfunc = pg_redshift.listagg_add, stype = text);

-- Types. The driver reads an interval of 12 bytes, the format of PostgreSQL 8.0, in which a day has 24 hours.

create or replace function pg_redshift.interval_send(span interval) returns bytea language sql immutable strict return
    int8send((extract(day from span) * 86400000000 + extract(hour from span) * 3600000000
        + extract(minute from span) * 60000000 + extract(microsecond from span))::bigint)
    || int2send(0::smallint) || int2send((extract(year from span) * 12 + extract(month from span))::smallint);

update pg_catalog.pg_type set typsend = 'pg_redshift.interval_send'::regproc where oid = 'pg_catalog.interval'::regtype;

update pg_catalog.pg_cast set castcontext = 'i'
where castsource = 'timestamptz'::regtype and casttarget = 'timestamp'::regtype;

-- Casts that Redshift lacks: nobody may call their functions, and errors.py translates the error for the client.

create or replace function pg_redshift."cannot cast type boolean to character varying"(boolean) returns text
language sql return null;

create or replace function pg_redshift."cannot cast type character varying to boolean"(char) returns boolean
language sql return false;

revoke execute on function
    pg_redshift."cannot cast type boolean to character varying",
    pg_redshift."cannot cast type character varying to boolean"
from public;

update pg_catalog.pg_cast set castfunc = 'pg_redshift."cannot cast type boolean to character varying"'::regproc
where castsource = 'boolean'::regtype and casttarget in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype);

-- As text, a fraction of a second has two digits at least.
do $do$
declare
    kind text;
    target text;
begin
    foreach kind in array '{timestamp, timestamptz, time, timetz}'::text[] loop
        execute format($sql$
            create or replace function pg_redshift.text(moment %1$s) returns text language sql stable strict
            return regexp_replace(pg_catalog.%1$s_out(moment)::text, '(\.\d)(?!\d)', '\10')
        $sql$, kind);
        foreach target in array '{text, varchar, bpchar}'::text[] loop
            if not exists (select from pg_cast where castsource = kind::regtype and casttarget = target::regtype) then
                execute format('create cast (%s as %s) with function pg_redshift.text(%s) as assignment', kind, target, kind);
            end if;
        end loop;
    end loop;
    foreach kind in array '{text, varchar, bpchar}'::text[] loop
        if not exists (select from pg_cast where castsource = kind::regtype and casttarget = 'boolean'::regtype) then
            execute format(
                'create cast (%s as boolean) with function pg_redshift."cannot cast type character varying to boolean"',
                kind
            );
        end if;
    end loop;
end $do$;

-- Functions. Dateparts have no quotes in Redshift; the gateway adds them.

create or replace function pg_catalog.sandbox_datepart(part text) returns text language plpgsql immutable strict as $$
begin
    return case
        when lower(part) in ('mil', 'mils', 'millennium', 'millennia') then 'millennium'
        when lower(part) in ('c', 'cent', 'cents', 'century', 'centuries') then 'century'
        when lower(part) in ('dec', 'decs', 'decade', 'decades') then 'decade'
        when lower(part) in ('y', 'yr', 'yrs', 'year', 'years') then 'year'
        when lower(part) in ('qtr', 'qtrs', 'quarter', 'quarters') then 'quarter'
        when lower(part) in ('mon', 'mons', 'month', 'months') then 'month'
        when lower(part) in ('w', 'week', 'weeks') then 'week'
        when lower(part) in ('dayofweek', 'dow', 'dw', 'weekday') then 'dow'
        when lower(part) in ('dayofyear', 'doy', 'dy', 'yearday') then 'doy'
        when lower(part) in ('d', 'day', 'days') then 'day'
        when lower(part) in ('h', 'hr', 'hrs', 'hour', 'hours') then 'hour'
        when lower(part) in ('m', 'min', 'mins', 'minute', 'minutes') then 'minute'
        when lower(part) in ('s', 'sec', 'secs', 'second', 'seconds') then 'second'
        when lower(part) ~ '^(ms|msecs?|mseconds?|millisecs?|milliseconds?|millisecon)$' then 'millisecond'
        when lower(part) ~ '^(us|usecs?|useconds?|microsecs?|microseconds?)$' then 'microsecond'
        else lower(part)
    end;
end $$;

-- EXTRACT returns a whole number, except for a timestamp with a time zone; of a second's fraction it returns only the
-- milliseconds or only the microseconds. DATE_PART, whose column is called pgdate_part, returns a double.
do $do$
declare
    kind text;
begin
    foreach kind in array '{timestamp, timestamptz, date, time, interval}'::text[] loop
        execute format($sql$
            create or replace function pg_redshift.pgdate_part(part text, moment %1$s) returns double precision
            language sql stable strict return case pg_catalog.sandbox_datepart(part)
                when 'decade' then floor(pg_catalog.date_part('year', moment) / 10) + 1
                else pg_catalog.date_part(pg_catalog.sandbox_datepart(part), %2$s)
            end
        $sql$, kind, case kind when 'interval' then 'justify_hours(moment)' else 'moment' end);
        execute format($sql$
            create or replace function pg_redshift.date_part(part text, %4$s %1$s) returns %2$s
            language sql stable strict return case pg_catalog.sandbox_datepart(part)
                when 'millisecond' then mod(trunc(pg_redshift.pgdate_part(part, $2))::integer, 1000)
                when 'microsecond' then mod(trunc(pg_redshift.pgdate_part(part, $2))::integer, 1000)
                else %3$s(pg_redshift.pgdate_part(part, $2))
            end
        $sql$, kind, case kind when 'timestamptz' then 'double precision' else 'integer' end,
        case kind when 'timestamptz' then '' else 'trunc' end, case kind when 'date' then 'day' else 'moment' end);
    end loop;
end $do$;

create or replace function pg_redshift.date_trunc(part text, moment timestamp) returns timestamp
language sql immutable strict return pg_catalog.date_trunc(pg_catalog.sandbox_datepart(part), moment);

-- 29 February plus a year is 1 March, but plus twelve months it is 28 February.
create or replace function pg_catalog.dateadd(part text, amount bigint, moment timestamp) returns timestamp
language plpgsql immutable strict as $$
declare
    unit text := pg_catalog.sandbox_datepart(part);
    later timestamp;
begin
    if unit = 'quarter' then
        return moment + (amount * 3 || ' month')::interval;
    elsif unit = any ('{year, month, week, day, hour, minute, second, millisecond, microsecond}') then
        later := moment + (amount || ' ' || unit)::interval;
        return later + case when unit = 'year' and extract(day from later) < extract(day from moment) then 1 else 0 end
            * interval '1 day';
    end if;
    raise exception 'dateadd: the sandbox does not know the datepart %', part using errcode = '0A000';
end $$;

-- Counts the boundaries of the date part between two moments, not the elapsed time.
create or replace function pg_catalog.datediff(part text, earlier timestamp, later timestamp) returns bigint
language plpgsql immutable strict as $$
declare
    unit text := pg_catalog.sandbox_datepart(part);
    years bigint := extract(year from later) - extract(year from earlier);
    mondays bigint := (date_trunc('week', later)::date - date_trunc('week', earlier)::date) / 7;
    seconds constant jsonb :=
        '{"day": 86400, "hour": 3600, "minute": 60, "second": 1, "millisecond": 0.001, "microsecond": 0.000001}';
begin
    if unit = 'year' then
        return years;
    elsif unit = 'quarter' then
        return years * 4 + extract(quarter from later) - extract(quarter from earlier);
    elsif unit = 'month' then
        return years * 12 + extract(month from later) - extract(month from earlier);
    elsif unit = 'week' then
        if mondays = (date_trunc('week', later + '1 day')::date - date_trunc('week', earlier + '1 day')::date) / 7 then
            return mondays;
        end if;
        raise exception 'datediff: Amazon does not say whether weeks start on Sunday or Monday, which matters here: %',
            'write datediff(day, date_trunc(''week'', a), date_trunc(''week'', b)) / 7' using errcode = '0A000';
    elsif seconds ? unit then
        return extract(epoch from date_trunc(unit, later) - date_trunc(unit, earlier)) / (seconds ->> unit)::numeric;
    end if;
    raise exception 'datediff: the sandbox does not know the datepart %', part using errcode = '0A000';
end $$;

-- The last day of a month becomes the last day of the other month.
create or replace function pg_catalog.add_months(moment timestamp, months integer) returns timestamp
language sql immutable strict return case
    when extract(day from moment + interval '1 day') > 1 then moment + months * interval '1 month'
    else date_trunc('month', moment) + (months + 1) * interval '1 month' - interval '1 day' + moment::time
end;

-- Returns whole months between equal days of the month and between last days; otherwise a month counts as 31 days.
create or replace function pg_catalog.months_between(later timestamp, earlier timestamp) returns double precision
language sql immutable strict return pg_catalog.datediff('month', earlier, later) + case
    when extract(day from later) = extract(day from earlier) then 0
    when extract(day from later + interval '1 day') = 1 and extract(day from earlier + interval '1 day') = 1 then 0
    else extract(epoch from later - date_trunc('month', later) - (earlier - date_trunc('month', earlier))) / 86400 / 31
end;

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

create or replace function pg_catalog.round(value double precision, digits integer) returns double precision
language sql immutable strict return round(value::numeric, digits)::double precision;

-- Returns null if one argument is null; PostgreSQL's own function treats null as an empty text.
create or replace function pg_catalog.concat(first text, second text) returns text
language sql immutable strict return first || second;

create or replace function pg_catalog.len(value text) returns integer language sql immutable strict return length(value);

create or replace function pg_catalog.charindex(part text, whole text) returns integer
language sql immutable strict return strpos(whole, part);

create or replace function pg_redshift.split_part(whole text, delimiter text, part integer) returns text
language plpgsql immutable strict as $$
begin
    if part < 1 then
        raise exception 'field position must be greater than zero' using errcode = '22023';
    end if;
    return pg_catalog.split_part(whole, delimiter, part);
end $$;

create or replace function pg_redshift.regexp_flags(flags text) returns text language plpgsql immutable as $$
begin
    if flags !~ '^[cei]*$' then
        raise exception 'the sandbox does not know parameters like % of regular expressions', flags using errcode = '0A000';
    end if;
    return translate(flags, 'e', '');
end $$;

create or replace function pg_redshift.regexp_count(whole text, pattern text, start int default 1, flags text default '')
returns integer language sql immutable strict
return pg_catalog.regexp_count(whole, pattern, greatest(start, 1), pg_redshift.regexp_flags(flags));

-- The flag e selects the first subexpression, if there is one.
create or replace function pg_redshift.regexp_instr(
    whole text, pattern text, start integer default 1, occurrence integer default 1, ending integer default 0,
    flags text default ''
) returns integer language sql immutable strict
return case when occurrence between 1 and greatest(length(whole), 1) then pg_catalog.regexp_instr(
    whole, pattern, greatest(start, 1), occurrence, (ending <> 0)::integer, pg_redshift.regexp_flags(flags),
    (flags ~ 'e' and cardinality(regexp_match('', pattern || '|()')) > 1)::integer
) else 0 end;

-- Returns an empty text if nothing matches.
create or replace function pg_redshift.regexp_substr(
    whole text, pattern text, start integer default 1, occurrence integer default 1, flags text default ''
) returns text language sql immutable strict
return case when occurrence between 1 and greatest(length(whole), 1) then coalesce(pg_catalog.regexp_substr(
    whole, pattern, greatest(start, 1), occurrence, pg_redshift.regexp_flags(flags),
    (flags ~ 'e' and cardinality(regexp_match('', pattern || '|()')) > 1)::integer
), '') end;

create or replace function pg_redshift.json_extract_path_text(null_if_invalid bool, source text, variadic path text[])
returns text language plpgsql immutable strict as $$
declare
    found json;
    step text;
begin
    if cardinality(path) > 5 then
        raise exception 'json_extract_path_text: a path has five elements at most' using errcode = '22023';
    elsif null_if_invalid and not pg_input_is_valid(source, 'json') then
        return null;
    end if;
    found := source;
    foreach step in array path loop
        found := case when json_typeof(found) = 'object' then found -> step end;
    end loop;
    return found #>> '{}';
end $$;

create or replace function pg_catalog.pg_last_copy_count() returns bigint language sql stable
return coalesce(nullif(current_setting('redshift.last_copy_count', true), '')::bigint, 0);

-- Catalogue views and functions that dbt-redshift reads. The sandbox has no late-binding views and no external tables.

create or replace function pg_catalog.pg_get_late_binding_view_cols() returns setof record language sql stable as $$
    select null::name, null::name, null::name, null::varchar, null::int where false
$$;

drop view if exists pg_catalog.svv_external_columns;

create view pg_catalog.svv_external_columns as
select
    ''::varchar as schemaname, ''::varchar as tablename, ''::varchar as columnname, ''::varchar as external_type, 0 as columnnum
where false;

drop view if exists pg_catalog.svv_table_info;

-- Sizes and names are real; values that PostgreSQL does not have are null, or Redshift's default.
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

drop view if exists pg_catalog.svv_transactions;

-- The locks that sessions hold or wait for.
create view pg_catalog.svv_transactions as
select
    activity.usename::text as txn_owner,
    activity.datname::text as txn_db,
    activity.backend_xid::text::bigint as xid,
    locks.pid,
    activity.xact_start at time zone 'UTC' as txn_start,
    locks.mode as lock_mode,
    locks.locktype as lockable_object_type,
    locks.relation,
    locks.granted
from pg_catalog.pg_locks as locks
inner join pg_catalog.pg_stat_activity as activity on locks.pid = activity.pid;

-- A role that may log in is a user of Redshift; every other role counts as a role, even if it is a group.
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
    pg_catalog.svv_transactions,
    pg_catalog.svv_relation_privileges,
    pg_catalog.svv_schema_privileges
to public;
