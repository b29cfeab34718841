select pg_backend_pid();

BEGIN;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.hourly_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
        lock table "dev"."sandbox_reporting"."hourly_kpis", "dev"."sandbox_staging"."stg_hourly_kpis";

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.hourly_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    select distinct batch_id from "dev"."sandbox_staging"."stg_hourly_kpis" where batch_id is null or batch_id <> '20240605T000000Z-00000002' order by batch_id;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.hourly_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
select * from (
with
staged as (
    select * from "dev"."sandbox_staging"."stg_hourly_kpis"
),
staged_dates as (
    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from staged
    group by listen_date
),
loaded_dates as (
    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from "dev"."sandbox_reporting"."hourly_kpis"
    group by listen_date
),
taken_dates as (
    select staged_dates.listen_date
    from staged_dates
    left join loaded_dates
        on staged_dates.listen_date = loaded_dates.listen_date
    where
        loaded_dates.listen_date is null
        or (
        staged_dates.plays > loaded_dates.plays
        or (
            staged_dates.plays = loaded_dates.plays
            and staged_dates.computed_at >= loaded_dates.computed_at
        )
    )
),
final as (
    select
        staged.listen_date,
        staged.listen_hour,
        staged.listen_count,
        staged.unique_listeners,
        staged.listens_per_listener,
        staged.top_artist,
        staged.top_artist_listen_count,
        staged.diversity_index,
        staged.most_engaged_age_group,
        staged.batch_id,
        staged.computed_at,
        getdate() as loaded_at
    from staged
    inner join taken_dates
        on staged.listen_date = taken_dates.listen_date
)
select * from final
    ) as __dbt_sbq
    where false
    limit 0;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.hourly_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
select * from (
        select
    cast(null as date)
 as listen_date,
    cast(null as smallint)
 as listen_hour,
    cast(null as bigint)
 as listen_count,
    cast(null as bigint)
 as unique_listeners,
    cast(null as double precision)
 as listens_per_listener,
    cast(null as varchar(1024))
 as top_artist,
    cast(null as bigint)
 as top_artist_listen_count,
    cast(null as double precision)
 as diversity_index,
    cast(null as varchar(8))
 as most_engaged_age_group,
    cast(null as varchar(64))
 as batch_id,
    cast(null as timestamp)
 as computed_at,
    cast(null as timestamp)
 as loaded_at
    ) as __dbt_sbq
    where false
    limit 0;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.hourly_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    create temporary table
    "hourly_kpis__dbt_tmp"
  (
    listen_date date not null,
    listen_hour smallint not null,
    listen_count bigint not null,
    unique_listeners bigint not null,
    listens_per_listener double precision not null,
    top_artist varchar(1024),
    top_artist_listen_count bigint,
    diversity_index double precision not null,
    most_engaged_age_group varchar(8),
    batch_id varchar(64) not null,
    computed_at timestamp not null,
    loaded_at timestamp not null
    )
    diststyle key distkey (listen_date)
      compound sortkey(listen_date,listen_hour);

insert into "hourly_kpis__dbt_tmp"
    (
    select listen_date, listen_hour, listen_count, unique_listeners, listens_per_listener, top_artist, top_artist_listen_count, diversity_index, most_engaged_age_group, batch_id, computed_at, loaded_at
    from (
with
staged as (
    select * from "dev"."sandbox_staging"."stg_hourly_kpis"
),
staged_dates as (
    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from staged
    group by listen_date
),
loaded_dates as (
    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from "dev"."sandbox_reporting"."hourly_kpis"
    group by listen_date
),
taken_dates as (
    select staged_dates.listen_date
    from staged_dates
    left join loaded_dates
        on staged_dates.listen_date = loaded_dates.listen_date
    where
        loaded_dates.listen_date is null
        or (
        staged_dates.plays > loaded_dates.plays
        or (
            staged_dates.plays = loaded_dates.plays
            and staged_dates.computed_at >= loaded_dates.computed_at
        )
    )
),
final as (
    select
        staged.listen_date,
        staged.listen_hour,
        staged.listen_count,
        staged.unique_listeners,
        staged.listens_per_listener,
        staged.top_artist,
        staged.top_artist_listen_count,
        staged.diversity_index,
        staged.most_engaged_age_group,
        staged.batch_id,
        staged.computed_at,
        getdate() as loaded_at
    from staged
    inner join taken_dates
        on staged.listen_date = taken_dates.listen_date
)
select * from final
    ) as model_subq
    );

-- dbt-redshift reads the catalogue

-- dbt-redshift reads the catalogue

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.hourly_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
delete from "dev"."sandbox_reporting"."hourly_kpis"
    where listen_date in (select listen_date from "hourly_kpis__dbt_tmp")
    and not exists (
        select 1
        from "hourly_kpis__dbt_tmp" as taken
        where
            taken.listen_date = "dev"."sandbox_reporting"."hourly_kpis".listen_date and
            taken.listen_hour = "dev"."sandbox_reporting"."hourly_kpis".listen_hour
    );

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.hourly_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
      -- back compat for old kwarg name
    merge into "dev"."sandbox_reporting"."hourly_kpis"
        using "hourly_kpis__dbt_tmp" as DBT_INTERNAL_SOURCE
        on (
                    DBT_INTERNAL_SOURCE.listen_date = "dev"."sandbox_reporting"."hourly_kpis".listen_date
                ) and (
                    DBT_INTERNAL_SOURCE.listen_hour = "dev"."sandbox_reporting"."hourly_kpis".listen_hour
                )
    when matched then update set
        "listen_date" = DBT_INTERNAL_SOURCE."listen_date",
        "listen_hour" = DBT_INTERNAL_SOURCE."listen_hour",
        "listen_count" = DBT_INTERNAL_SOURCE."listen_count",
        "unique_listeners" = DBT_INTERNAL_SOURCE."unique_listeners",
        "listens_per_listener" = DBT_INTERNAL_SOURCE."listens_per_listener",
        "top_artist" = DBT_INTERNAL_SOURCE."top_artist",
        "top_artist_listen_count" = DBT_INTERNAL_SOURCE."top_artist_listen_count",
        "diversity_index" = DBT_INTERNAL_SOURCE."diversity_index",
        "most_engaged_age_group" = DBT_INTERNAL_SOURCE."most_engaged_age_group",
        "batch_id" = DBT_INTERNAL_SOURCE."batch_id",
        "computed_at" = DBT_INTERNAL_SOURCE."computed_at",
        "loaded_at" = DBT_INTERNAL_SOURCE."loaded_at"
    when not matched then insert (
        "listen_date",
        "listen_hour",
        "listen_count",
        "unique_listeners",
        "listens_per_listener",
        "top_artist",
        "top_artist_listen_count",
        "diversity_index",
        "most_engaged_age_group",
        "batch_id",
        "computed_at",
        "loaded_at"
    )
    values (
        DBT_INTERNAL_SOURCE."listen_date",
        DBT_INTERNAL_SOURCE."listen_hour",
        DBT_INTERNAL_SOURCE."listen_count",
        DBT_INTERNAL_SOURCE."unique_listeners",
        DBT_INTERNAL_SOURCE."listens_per_listener",
        DBT_INTERNAL_SOURCE."top_artist",
        DBT_INTERNAL_SOURCE."top_artist_listen_count",
        DBT_INTERNAL_SOURCE."diversity_index",
        DBT_INTERNAL_SOURCE."most_engaged_age_group",
        DBT_INTERNAL_SOURCE."batch_id",
        DBT_INTERNAL_SOURCE."computed_at",
        DBT_INTERNAL_SOURCE."loaded_at"
    );

-- dbt-redshift reads the catalogue

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.hourly_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    comment on table "dev"."sandbox_reporting"."hourly_kpis" is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

-- dbt-redshift reads the catalogue

-- dbt-redshift reads the catalogue

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.hourly_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    comment on column "dev"."sandbox_reporting"."hourly_kpis".listen_date is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".listen_hour is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".listen_count is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".unique_listeners is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".listens_per_listener is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".top_artist is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".top_artist_listen_count is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".diversity_index is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".most_engaged_age_group is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".batch_id is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".computed_at is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."hourly_kpis".loaded_at is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

COMMIT;
